//! The JSON Schema of `gateway.yaml`, for completion and checks in editors.

/// The schema, JSON Schema draft 2020-12.
pub const GATEWAY: &str = include_str!("../schema/gateway.schema.json");
