//! The one form in which all ways to write the same JSON are alike, as bytes to digest.
//!
//! Every value begins with a tag and tells its length, or ends with a mark that no value begins with: so different
//! values never make the same bytes, also side by side. What is long is replaced by its digest, so that each byte is
//! copied and digested once however deep it stands, and next to nothing is held.

use blake2::{Blake2b256, Digest as _};
use sluice_core::json::{Error, Kind, Reader, Str};

const NULL: u8 = b'0';
const FALSE: u8 = b'f';
const TRUE: u8 = b't';
const NUMBER: u8 = b'n';
const STRING: u8 = b's';
const LONG_STRING: u8 = b'S';
/// A string that does not decode, as it stands.
const BROKEN: u8 = b'b';
const LONG_BROKEN: u8 = b'B';
/// A value that stands too deep to be looked into, as it stands.
const DEEP: u8 = b'd';
const LONG_DEEP: u8 = b'D';
const ARRAY: u8 = b'[';
const OBJECT: u8 = b'{';
const LONG_OBJECT: u8 = b'O';
const END: u8 = b'.';

/// From how many bytes on a digest stands for a string, or for the members of an object.
const LONG_BYTES: usize = 256;

/// Containers in each other that are looked into; it bounds the stack. The deepest schemas seen need some 30. What stands
/// deeper counts as it is written.
pub(super) const MAX_DEPTH: usize = 128;

/// Writes values in canonical form.
#[derive(Debug)]
pub(super) struct Canon<'d> {
    /// The document that is read.
    doc: &'d [u8],
    out: Vec<u8>,
    /// Members of all open objects, outermost first.
    members: Vec<Member>,
}

/// Where a member stands in what was written.
#[derive(Clone, Copy, Debug)]
struct Member {
    name: usize,
    value: usize,
    end: usize,
}

impl<'d> Canon<'d> {
    /// Begins with nothing written; all that is read stands in `doc`.
    pub(super) const fn new(doc: &'d [u8]) -> Self {
        Self { doc, out: Vec::new(), members: Vec::new() }
    }

    /// What was written since it had `start` bytes.
    pub(super) fn written(&self, start: usize) -> &[u8] {
        self.out.get(start..).unwrap_or_default()
    }

    /// Bytes that are no JSON.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.part(STRING, LONG_STRING, bytes);
    }

    /// Bytes that are no JSON, or their absence.
    pub(super) fn maybe(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bytes(bytes),
            None => self.out.push(NULL),
        }
    }

    /// The end of a list of parts.
    pub(super) fn end(&mut self) {
        self.out.push(END);
    }

    /// Reads an object whose members `value` writes; one for which it returns `false` is left out. Returns how many
    /// were not.
    pub(super) fn object<'a>(
        &mut self,
        reader: &mut Reader<'a>,
        mut value: impl FnMut(&mut Self, &mut Reader<'a>, Str<'a>) -> Result<bool, Error>,
    ) -> Result<usize, Error> {
        self.out.push(OBJECT);
        let (start, outer) = (self.out.len(), self.members.len());
        reader.object(|reader, key| {
            let name = self.out.len();
            self.string(key);
            let at = self.out.len();
            if value(self, reader, key)? {
                self.members.push(Member { name, value: at, end: self.out.len() });
            } else {
                self.out.truncate(name);
            }
            Ok(())
        })?;
        let count = self.members.len().saturating_sub(outer);
        self.close(start, outer);
        Ok(count)
    }

    /// Reads the next value, within `depth` containers, and writes it.
    pub(super) fn value(&mut self, reader: &mut Reader<'_>, depth: usize) -> Result<(), Error> {
        let inner = depth.saturating_add(1);
        match reader.kind() {
            Some(Kind::Object | Kind::Array) if depth >= MAX_DEPTH => self.deep(reader)?,
            Some(Kind::Object) => {
                self.object(reader, |canon, reader, _| canon.value(reader, inner).map(|()| true))?;
            }
            Some(Kind::Array) => {
                self.out.push(ARRAY);
                reader.array(|reader| self.value(reader, inner))?;
                self.end();
            }
            Some(Kind::String) => self.string(reader.string()?),
            Some(Kind::Number) => self.short(NUMBER, reader.number()?.raw),
            Some(Kind::Bool) => self.out.push(if reader.bool()? { TRUE } else { FALSE }),
            Some(Kind::Null) | None => {
                reader.null()?;
                self.out.push(NULL);
            }
        }
        Ok(())
    }

    /// Whether the value written since there were `start` bytes is `null`.
    pub(super) fn is_null(&self, start: usize) -> bool {
        self.written(start) == [NULL]
    }

    /// Whether the value written since there were `start` bytes is `false`.
    pub(super) fn is_false(&self, start: usize) -> bool {
        self.written(start) == [FALSE]
    }

    fn deep(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        let raw = reader.skip()?;
        self.part(DEEP, LONG_DEEP, raw.of(self.doc));
        Ok(())
    }

    fn string(&mut self, string: Str<'_>) {
        match string.decode() {
            Ok(text) => self.bytes(text.as_bytes()),
            Err(_) => self.part(BROKEN, LONG_BROKEN, string.raw),
        }
    }

    fn part(&mut self, tag: u8, long: u8, bytes: &[u8]) {
        if bytes.len() < LONG_BYTES {
            self.short(tag, bytes);
        } else {
            self.out.push(long);
            self.out.extend_from_slice(&Blake2b256::digest(bytes));
        }
    }

    fn short(&mut self, tag: u8, bytes: &[u8]) {
        self.out.push(tag);
        self.length(bytes.len());
        self.out.extend_from_slice(bytes);
    }

    /// Seven bits a byte, the lowest first, the highest bit set in all but the last.
    fn length(&mut self, length: usize) {
        let low = u8::try_from(length & 0x7f).unwrap_or_default();
        match length.wrapping_shr(7) {
            0 => self.out.push(low),
            rest => {
                self.out.push(low | 0x80);
                self.length(rest);
            }
        }
    }

    /// Ends an object whose members begin at `start`: brings them into the order of their names. Members of one name
    /// stay in theirs, for it decides which one counts.
    fn close(&mut self, start: usize, outer: usize) {
        let Self { out, members, .. } = self;
        let own = members.get_mut(outer..).unwrap_or_default();
        let name = |member: &Member| out.get(member.name..member.value).unwrap_or_default();
        let in_order = own.is_sorted_by_key(name);
        if !in_order {
            own.sort_by(|a, b| name(a).cmp(name(b)));
        }
        let parts = own.iter().map(|member| out.get(member.name..member.end).unwrap_or_default());
        if out.len().saturating_sub(start) >= LONG_BYTES {
            let digest = parts.fold(Blake2b256::new(), |digest, part| digest.chain_update(part)).finalize();
            out.truncate(start.saturating_sub(1));
            out.push(LONG_OBJECT);
            out.extend_from_slice(&digest);
        } else {
            if !in_order {
                let sorted: Vec<u8> = parts.flatten().copied().collect();
                out.truncate(start);
                out.extend_from_slice(&sorted);
            }
            out.push(END);
        }
        members.truncate(outer);
    }
}
