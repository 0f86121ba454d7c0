//! Backslash commands.

use super::describe::{self, Question};

/// What a backslash command asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meta {
    Quit,
    Help,
    /// Catalog questions.
    Ask(Vec<Question>),
    /// On, off, or the other one.
    Timing(Option<bool>),
    Expanded(Option<bool>),
    /// Runs a file.
    Include(String),
    /// Not a command; the message for the user.
    Wrong(String),
}

pub(super) const HELP: &str = "\
  SELECT 1;        a statement ends with ; and may have many lines
  \\d               tables and views
  \\d NAME          columns, key and distribution of a table or view
  \\dt  \\dv  \\ds    tables, views, sequences
  \\dn  \\db         schemas, tablespaces
  \\l               databases
  \\x [on|off]      a line for each value
  \\timing [on|off] time of each statement
  \\i FILE          runs the statements of a file
  \\?               this text
  \\q               ends the shell, as Ctrl-D does
Ctrl-C cancels the statement that runs.
";

impl Meta {
    /// The command of a line without its backslash.
    pub(super) fn parse(line: &str) -> Self {
        let line = line.trim().trim_end_matches(';').trim_end();
        let (command, argument) = match line.split_once(char::is_whitespace) {
            Some((command, argument)) => (command, argument.trim()),
            None => (line, ""),
        };
        match (command, argument) {
            ("q" | "quit", _) => Meta::Quit,
            ("?" | "h" | "help", _) => Meta::Help,
            ("d" | "d+", "") => Meta::Ask(describe::relations(None)),
            ("d" | "d+", name) => Meta::Ask(describe::relation(name)),
            ("dt" | "dt+", "") => Meta::Ask(describe::relations(Some("BASE TABLE"))),
            ("dv" | "dv+", "") => Meta::Ask(describe::relations(Some("VIEW"))),
            ("dt" | "dt+" | "dv" | "dv+", name) => Meta::Ask(describe::relation(name)),
            ("ds" | "ds+", _) => Meta::Ask(describe::sequences()),
            ("dn" | "dn+", _) => Meta::Ask(describe::schemas()),
            ("db" | "db+", _) => Meta::Ask(describe::tablespaces()),
            ("l" | "l+" | "list", _) => Meta::Ask(describe::databases()),
            ("x", argument) => switch(command, argument, Meta::Expanded),
            ("timing", argument) => switch(command, argument, Meta::Timing),
            ("i" | "include", "") => Meta::Wrong("\\i needs the name of a file".into()),
            ("i" | "include", file) => Meta::Include(file.trim_matches('\'').to_owned()),
            (other, _) => Meta::Wrong(format!("there is no \\{other}; \\? lists what there is")),
        }
    }
}

fn switch(command: &str, argument: &str, meta: fn(Option<bool>) -> Meta) -> Meta {
    match argument {
        "" => meta(None),
        "on" => meta(Some(true)),
        "off" => meta(Some(false)),
        other => Meta::Wrong(format!("\\{command} is on or off, not {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read() {
        assert_eq!(Meta::parse("q"), Meta::Quit);
        assert_eq!(Meta::parse("x"), Meta::Expanded(None));
        assert_eq!(Meta::parse(" timing  on ; "), Meta::Timing(Some(true)));
        assert_eq!(Meta::parse("i 'a file.sql'"), Meta::Include("a file.sql".into()));
        assert!(matches!(Meta::parse("dt;"), Meta::Ask(questions) if questions.len() == 1));
        assert!(matches!(Meta::parse("ds"), Meta::Ask(questions) if questions[0].0 == "Sequences"));
        assert!(matches!(Meta::parse("d lineitem"), Meta::Ask(questions) if questions.len() == 6));
        for wrong in ["x maybe", "i", "nonsense", "copy t from 'x'", ""] {
            assert!(matches!(Meta::parse(wrong), Meta::Wrong(_)), "{wrong}");
        }
    }
}
