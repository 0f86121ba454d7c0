//! Which build this is: nodes of one cluster must be of one build, because plans and messages change between builds.

/// `0.1.0 (4f1c2d3e5a6b)`; the environment variable `DAMSON_BUILD` stands in for it in tests.
pub fn build_id() -> String {
    if let Ok(build) = std::env::var("DAMSON_BUILD")
        && !build.is_empty()
    {
        return build;
    }
    let version = env!("CARGO_PKG_VERSION");
    match env!("DAMSON_COMMIT") {
        "" => version.to_owned(),
        commit => format!("{version} ({commit})"),
    }
}
