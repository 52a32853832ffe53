//! Attributes of Envoy by their numbers in the interface.

/// What Envoy answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attribute {
    /// Text.
    Text(u32),
    /// A number, which filters get as eight bytes, little-endian.
    Number(u32),
}

/// The attribute of this path; `None` for a path that no filter asks for.
///
/// Numbers: the order of `envoy_dynamic_module_type_attribute_id` in Envoy's `abi.h`.
pub(crate) fn attribute(path: &[&str]) -> Option<Attribute> {
    Some(match path {
        ["response", "code"] => Attribute::Number(15),
        ["response", "code_details"] => Attribute::Text(16),
        ["response", "flags"] => Attribute::Number(17),
        ["response", "size"] => Attribute::Number(21),
        ["source", "address"] => Attribute::Text(24),
        ["upstream", "local_address"] => Attribute::Text(51),
        ["upstream", "transport_failure_reason"] => Attribute::Text(52),
        ["xds", "route_name"] => Attribute::Text(61),
        _ => return None,
    })
}

/// The namespace and the name of metadata of the endpoint chosen, if the path names some.
pub(crate) fn endpoint_metadata<'a>(path: &[&'a str]) -> Option<(&'a str, &'a str)> {
    match path {
        ["xds", "upstream_host_metadata", "filter_metadata", namespace, name] => Some((namespace, name)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_that_filters_ask_for_is_metadata() {
        assert_eq!(endpoint_metadata(sluice_core::target::ATTRIBUTE), Some(("sluice", "target")));
        assert_eq!(endpoint_metadata(&["response", "code"]), None);
    }
}
