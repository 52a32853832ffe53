//! Attributes of Envoy by their numbers in the interface.

/// What Envoy answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attribute {
    /// Text.
    Text(u32),
    /// A number, which filters get as eight bytes, little-endian.
    Number(u32),
}

/// The attribute of this path, its parts joined by NUL; `None` for a path that no filter asks for.
///
/// Numbers: the order of `envoy_dynamic_module_type_attribute_id` in Envoy's `abi.h`.
pub(crate) fn attribute(path: &[u8]) -> Option<Attribute> {
    Some(match path {
        b"response\0code" => Attribute::Number(15),
        b"response\0code_details" => Attribute::Text(16),
        b"response\0flags" => Attribute::Number(17),
        b"response\0size" => Attribute::Number(21),
        b"source\0address" => Attribute::Text(24),
        b"upstream\0local_address" => Attribute::Text(51),
        b"upstream\0transport_failure_reason" => Attribute::Text(52),
        b"xds\0route_name" => Attribute::Text(61),
        _ => return None,
    })
}

/// The namespace and the name of metadata of the endpoint chosen, if the path names some.
pub(crate) fn endpoint_metadata(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let path = path.strip_prefix(b"xds\0upstream_host_metadata\0filter_metadata\0")?;
    let at = path.iter().position(|byte| *byte == 0)?;
    Some((path.get(..at)?, path.get(at.checked_add(1)?..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_that_filters_ask_for_is_metadata() {
        let path = sluice_core::target::ATTRIBUTE.join("\0");
        assert_eq!(endpoint_metadata(path.as_bytes()), Some((&b"sluice"[..], &b"target"[..])));
        assert_eq!(endpoint_metadata(b"response\0code"), None);
    }
}
