//! Path templates: `/a/{b}`, `/{*rest}`.

/// What is wrong with a template before the router sees it.
pub(super) fn fault(path: &str) -> Option<&'static str> {
    if !path.starts_with('/') {
        return Some("does not begin with '/'");
    }
    if path.contains(['?', '#']) {
        return Some("is a path: parameters of the query go under parameters");
    }
    if path.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Some("holds white space");
    }
    if path.contains("//") {
        return Some("has an empty segment");
    }
    if path.split('/').any(|segment| segment == "." || segment == "..") {
        return Some("has a '.' or '..' segment");
    }
    let mut names = parameters(path);
    names.sort_unstable();
    if names.windows(2).any(|pair| pair.first() == pair.last()) {
        return Some("names a parameter twice");
    }
    None
}

/// The names of its parameters. `{{` and `}}` are literal braces.
pub(super) fn parameters(path: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut rest = path;
    while let Some((_, after)) = rest.split_once('{') {
        if let Some(literal) = after.strip_prefix('{') {
            rest = literal;
            continue;
        }
        let Some((name, after)) = after.split_once('}') else { break };
        names.push(name.strip_prefix('*').unwrap_or(name));
        rest = after;
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_parameters() {
        assert_eq!(parameters("/a/{b}/c-{d}/{*rest}"), ["b", "d", "rest"]);
        assert_eq!(parameters("/{{literal}}/{x}"), ["x"]);
        assert_eq!(parameters("/{open"), Vec::<&str>::new());
    }

    #[test]
    fn paths_that_cannot_be_met() {
        assert_eq!(fault("/a/{b}"), None);
        assert_eq!(fault("/"), None);
        for wrong in ["a", "/a?b=c", "/a b", "/a//b", "/a/../b", "/{x}/{x}"] {
            assert!(fault(wrong).is_some(), "{wrong}");
        }
    }
}
