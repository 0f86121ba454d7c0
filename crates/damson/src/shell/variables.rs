//! `\set`, and what it makes of `:name` in statements.

use super::script::quoted_length;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The user's variables, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Variables(BTreeMap<String, String>);

/// psql's switches that change what the shell does, and the only value that this one knows of each.
const FIXED: [(&str, &str, &str); 2] = [
    ("ON_ERROR_STOP", "on", "an error always ends a script"),
    ("AUTOCOMMIT", "on", "a statement outside of BEGIN and COMMIT is a transaction of its own"),
];

impl Variables {
    /// # Errors
    /// A name that is none, or a value that would promise what the shell does not do.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        if name.is_empty() || !name.chars().all(is_name_char) {
            return Err(format!("invalid variable name: \"{name}\""));
        }
        let is_on = ["on", "1", "true", "yes", ""].contains(&value.to_ascii_lowercase().as_str());
        if let Some((name, only, why)) = FIXED.iter().find(|(fixed, ..)| *fixed == name)
            && !is_on
        {
            return Err(format!("{name} can only be {only}: {why}"));
        }
        self.0.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    pub(super) fn unset(&mut self, name: &str) {
        self.0.remove(name);
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The statement with values for `:name`, `:'name'` (a literal) and `:"name"` (an identifier), outside quotes and comments. What
    /// names no variable stays, and so do casts.
    pub(super) fn fill<'a>(&self, statement: &'a str) -> Cow<'a, str> {
        if self.0.is_empty() || !statement.contains(':') {
            return Cow::Borrowed(statement);
        }
        let (mut filled, mut at) = (String::with_capacity(statement.len()), 0);
        while let Some(c) = statement[at..].chars().next() {
            let rest = &statement[at..];
            let length = match (c, self.at(rest)) {
                (':', _) if rest.starts_with("::") => 2,
                (':', Some((value, length))) => {
                    filled.push_str(&value);
                    at += length;
                    continue;
                }
                _ => quoted_length(statement, at).unwrap_or(c.len_utf8()),
            };
            filled.push_str(&rest[..length]);
            at += length;
        }
        Cow::Owned(filled)
    }

    /// What the `:` at the beginning stands for, and how long its name is with it.
    fn at(&self, text: &str) -> Option<(String, usize)> {
        let after = text.strip_prefix(':')?;
        let quote = after.chars().next().filter(|c| matches!(c, '\'' | '"'));
        let start = quote.map_or(0, |_| 1);
        let name = &after[start..];
        let name = &name[..name.find(|c| !is_name_char(c)).unwrap_or(name.len())];
        let value = self.get(name)?;
        match quote {
            None => Some((value.to_owned(), 1 + name.len())),
            Some(quote) if after[start + name.len()..].starts_with(quote) => {
                let doubled = value.replace(quote, &format!("{quote}{quote}"));
                Some((format!("{quote}{doubled}{quote}"), 3 + name.len()))
            }
            Some(_) => None,
        }
    }
}

fn is_name_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> Variables {
        let mut variables = Variables::default();
        for (name, value) in [("n", "3"), ("who", "O'Neil"), ("t", "My \"T\""), ("é", "x")] {
            variables.set(name, value).expect("good");
        }
        variables
    }

    #[test]
    fn names_become_values() {
        let variables = variables();
        for (statement, filled) in [
            ("select :n, :n+1", "select 3, 3+1"),
            ("select :'who' from :\"t\"", "select 'O''Neil' from \"My \"\"T\"\"\""),
            ("select :é", "select x"),
            ("select a[1:2], :nobody, :'nobody'", "select a[1:2], :nobody, :'nobody'"),
            ("select '1'::n, x::int", "select '1'::n, x::int"),
            ("select ':n', \":n\", $$:n$$ -- :n\n, /* :n */ :n", "select ':n', \":n\", $$:n$$ -- :n\n, /* :n */ 3"),
            ("select E'\\':n', 'é :n'", "select E'\\':n', 'é :n'"),
            ("select :'who", "select :'who"),
        ] {
            assert_eq!(variables.fill(statement), filled);
        }
        assert!(matches!(Variables::default().fill("select :n"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_the_shell_does_not_do_is_not_promised() {
        let mut variables = variables();
        variables.set("ON_ERROR_STOP", "1").expect("it does");
        assert!(variables.set("ON_ERROR_STOP", "off").unwrap_err().contains("always ends a script"));
        assert!(variables.set("AUTOCOMMIT", "off").is_err() && variables.set("a b", "").is_err());
        variables.unset("n");
        assert_eq!((variables.get("n"), variables.all().count()), (None, 4));
    }
}
