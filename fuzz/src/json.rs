//! Any bytes: the reader accepts what serde_json accepts, with equal values, and rejects the rest.

use serde_json::{Map, Value};
use sluice_core::json::{Edit, Error, Kind, Reader, Span, removal, splice};

fn value(reader: &mut Reader<'_>) -> Result<Value, Error> {
    let Some(kind) = reader.kind() else {
        return reader.skip().map(|_| Value::Null);
    };
    Ok(match kind {
        Kind::Object => {
            let mut map = Map::new();
            reader.object(|reader, key| {
                let name = key.decode()?;
                assert!(key.is(&name));
                map.insert(name.into_owned(), value(reader)?);
                Ok(())
            })?;
            map.into()
        }
        Kind::Array => {
            let mut list = Vec::new();
            reader.array(|reader| {
                list.push(value(reader)?);
                Ok(())
            })?;
            list.into()
        }
        Kind::String => reader.string()?.decode()?.into(),
        Kind::Number => serde_json::from_slice(reader.number()?.raw).unwrap_or(Value::Null),
        Kind::Bool => reader.bool()?.into(),
        Kind::Null => reader.null().map(|()| Value::Null)?,
    })
}

fn whole<'a, T>(doc: &'a [u8], read: impl Fn(&mut Reader<'a>) -> Result<T, Error>) -> Result<T, Error> {
    let mut reader = Reader::new(doc);
    let read = read(&mut reader)?;
    reader.end().map(|()| read)
}

/// An object without its first member is a value, too.
fn remove_first(doc: &[u8]) {
    let (mut reader, mut first) = (Reader::new(doc), None);
    let read = reader.object(|reader, key| {
        let end = reader.skip()?.end;
        first.get_or_insert(Span { start: key.span.start, end });
        Ok(())
    });
    if let (Ok(()), Ok(()), Some(member)) = (read, reader.end(), first) {
        let rest = splice(doc, &[Edit { span: removal(doc, member), with: b"" }]);
        whole(&rest, Reader::skip).unwrap();
    }
}

/// The document.
pub fn check(doc: &[u8]) {
    let (read, skipped) = (whole(doc, value), whole(doc, Reader::skip));
    for error in [read.as_ref().err(), skipped.as_ref().err()].into_iter().flatten() {
        assert!(error.offset <= doc.len());
        error.at(doc).to_string();
    }
    assert!(read.is_err() || skipped.is_ok());
    match serde_json::from_slice::<Value>(doc) {
        Ok(want) => assert_eq!(read, Ok(want)),
        // serde_json is stricter here: numbers beyond f64, and more than 128 containers
        Err(error) if error.to_string().starts_with("number out of range") => {}
        Err(error) if error.to_string().starts_with("recursion limit") => {}
        Err(error) => assert!(read.is_err(), "{error}"),
    }
    remove_first(doc);
}
