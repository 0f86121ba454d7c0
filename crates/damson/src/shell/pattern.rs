//! Patterns of names, as psql's: `o*`, `public.*`, `"My.Table"`.

use super::quoted;

/// What `\d` and its family look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    schema: Option<Part>,
    name: Part,
    /// As the user wrote it.
    text: String,
}

/// A name, or with `*` and `?` many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Part {
    name: String,
    /// The same for LIKE.
    like: String,
    has_wildcards: bool,
}

impl Part {
    fn push(&mut self, c: char) {
        self.name.push(c);
        if matches!(c, '%' | '_' | '\\') {
            self.like.push('\\');
        }
        self.like.push(c);
    }

    fn push_wildcard(&mut self, like: char) {
        self.like.push(like);
        self.has_wildcards = true;
    }

    fn is_everything(&self) -> bool {
        self.like == "%"
    }

    fn condition(&self, column: &str) -> String {
        match self.has_wildcards {
            false => format!("{column} = {}", quoted(&self.name)),
            true => format!("{column} LIKE {}", quoted(&self.like)),
        }
    }
}

impl Pattern {
    /// Letters are in lower case, except within double quotes; of more than two parts the last two count. None for nothing.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (mut parts, mut part, mut is_quoted) = (vec![], Part::default(), false);
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '"' if is_quoted && chars.peek() == Some(&'"') => {
                    chars.next();
                    part.push('"');
                }
                '"' => is_quoted = !is_quoted,
                c if is_quoted => part.push(c),
                '.' => parts.push(std::mem::take(&mut part)),
                '*' => part.push_wildcard('%'),
                '?' => part.push_wildcard('_'),
                c => c.to_lowercase().for_each(|c| part.push(c)),
            }
        }
        (!text.is_empty()).then(|| Pattern { schema: parts.pop(), name: part, text: text.to_owned() })
    }

    pub(super) fn has_schema(&self) -> bool {
        self.schema.is_some()
    }

    /// On columns of schemas' and objects' names.
    pub(super) fn condition(&self, schema: &str, name: &str) -> String {
        let parts = self.schema.iter().map(|part| (part, schema)).chain([(&self.name, name)]);
        let conditions: Vec<String> =
            parts.filter(|(part, _)| !part.is_everything()).map(|(part, column)| part.condition(column)).collect();
        if conditions.is_empty() { "true".into() } else { conditions.join(" AND ") }
    }

    /// On a column of names that no schema has.
    pub(super) fn condition_of_name(&self, name: &str) -> String {
        self.name.condition(name)
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    fn condition(text: &str) -> String {
        Pattern::parse(text).expect("a pattern").condition("s", "n")
    }

    #[test]
    fn names_are_read_as_sql_reads_them() {
        assert_eq!(condition("Lineitem"), "n = 'lineitem'");
        assert_eq!(condition("S.\"My.Table\""), "s = 's' AND n = 'My.Table'");
        assert_eq!(condition("\"a\"\"b'*\""), "n = 'a\"b''*'");
        assert_eq!(condition("damson.s.t"), "s = 's' AND n = 't'");
        assert_eq!(Pattern::parse("  "), None);
    }

    #[test]
    fn stars_and_question_marks_stand_for_others() {
        assert_eq!(condition("o*"), "n LIKE 'o%'");
        assert_eq!(condition("public.*"), "s = 'public'");
        assert_eq!(condition("*.t_?"), "n LIKE 't\\__'");
        assert_eq!(condition("*"), "true");
        assert!(Pattern::parse("*.x").expect("one").has_schema() && !Pattern::parse("x").expect("one").has_schema());
    }
}
