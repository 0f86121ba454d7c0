//! Backslash commands.

use super::describe::{self, Kind, Question};
use super::pattern::Pattern;

/// What a backslash command asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meta {
    Quit,
    Help,
    /// A catalog question.
    Ask(Box<Question>),
    /// Everything about the relations of a name.
    Describe(Pattern),
    /// On, off, or the other one.
    Timing(Option<bool>),
    /// None: on if it was off, and off otherwise.
    Expanded(Option<Expanded>),
    /// Runs a file.
    Include(String),
    /// Prints words.
    Echo(EchoTo, String),
    /// Results go to a file from now on; None: to stdout again.
    Output(Option<String>),
    /// A variable; without a value it is empty.
    Set(String, String),
    ShowVariables,
    Unset(String),
    /// Another session: here or at another URL, as the same or another user.
    Connect {
        url: Option<String>,
        user: Option<String>,
    },
    ConnectionInfo,
    /// Not a command; the message for the user.
    Wrong(String),
}

/// A line for each value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Expanded {
    #[default]
    Off,
    On,
    /// Where a row is wider than the terminal.
    Auto,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EchoTo {
    Stdout,
    Stderr,
    /// Where results go.
    Output,
}

pub(super) const HELP: &str = "\
  SELECT 1;            a statement ends with ; and may have many lines
  \\d                   tables, views and sequences
  \\d NAME              columns, key and distribution of a table or view
  \\dt  \\dv  \\de  \\ds    tables, views, external tables, sequences
  \\dn  \\db  \\du  \\df    schemas, tablespaces, roles, functions
  \\l                   databases
     After each but \\l a NAME, in which * and ? stand for other letters: \\dt o*, \\dt public.*
  \\x [on|off|auto]     a line for each value; auto: where a row is wider than the terminal
  \\timing [on|off]     time of each statement
  \\i FILE              runs the statements of a file
  \\o [FILE]            results go to a file; without FILE, to the terminal again
  \\echo \\qecho \\warn   prints words: to the terminal, where results go, to stderr
  \\set [NAME [VALUE]]  :NAME stands for VALUE in statements, :'NAME' for it in quotes; \\unset NAME
  \\c [URL|- [USER]]    a new session, there
  \\conninfo            server, user and session
  \\?                   this text
  \\q                   ends the shell, as Ctrl-D does
Ctrl-C cancels the statement that runs.
";

const NO_COPY: &str = "there is no \\copy: COPY reads and writes files of the server's hosts and of buckets; \\o and --format csv write \
    results here; psql's \\copy works on the port of the PostgreSQL protocol";

/// The names of the one database that every cluster has.
const DATABASES: [&str; 2] = ["damson", "postgres"];

impl Meta {
    /// The command of a line without its backslash; `variable` knows what `:name` in it stands for.
    pub(super) fn parse(line: &str, variable: impl Fn(&str) -> Option<String>) -> Self {
        let line = line.trim().trim_end_matches(';').trim_end();
        let (command, rest) = match line.split_once(char::is_whitespace) {
            Some((command, rest)) => (command, rest.trim()),
            None => (line, ""),
        };
        // Patterns have quotes of their own.
        if let Some(meta) = catalog(command.strip_suffix('+').unwrap_or(command), rest) {
            return meta;
        }
        let words = match words(rest, variable) {
            Ok(words) => words,
            Err(message) => return Meta::Wrong(format!("\\{command}: {message}")),
        };
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match (command, &words[..]) {
            ("q" | "quit", _) => Meta::Quit,
            ("?" | "h" | "help", _) => Meta::Help,
            ("x", []) => Meta::Expanded(None),
            ("x", ["auto"]) => Meta::Expanded(Some(Expanded::Auto)),
            ("x", [argument]) => match switch(argument) {
                Some(true) => Meta::Expanded(Some(Expanded::On)),
                Some(false) => Meta::Expanded(Some(Expanded::Off)),
                None => Meta::Wrong(format!("\\x is on, off or auto, not {argument}")),
            },
            ("timing", []) => Meta::Timing(None),
            ("timing", [argument]) => match switch(argument) {
                None => Meta::Wrong(format!("\\timing is on or off, not {argument}")),
                on => Meta::Timing(on),
            },
            ("i" | "include", [file]) => Meta::Include((*file).to_owned()),
            ("i" | "include", _) => Meta::Wrong("\\i needs the name of a file".into()),
            ("echo", words) => Meta::Echo(EchoTo::Stdout, words.join(" ")),
            ("qecho", words) => Meta::Echo(EchoTo::Output, words.join(" ")),
            ("warn", words) => Meta::Echo(EchoTo::Stderr, words.join(" ")),
            ("o" | "out", []) => Meta::Output(None),
            ("o" | "out", [file, ..]) if file.starts_with('|') => Meta::Wrong("\\o writes to files only".into()),
            ("o" | "out", [file]) => Meta::Output(Some((*file).to_owned())),
            ("set", []) => Meta::ShowVariables,
            // As psql joins them.
            ("set", [name, value @ ..]) => Meta::Set((*name).to_owned(), value.concat()),
            ("unset", [name]) => Meta::Unset((*name).to_owned()),
            ("unset", _) => Meta::Wrong("\\unset needs the name of a variable".into()),
            ("c" | "connect", words) => connect(words),
            ("conninfo", []) => Meta::ConnectionInfo,
            ("copy", _) => Meta::Wrong(NO_COPY.into()),
            ("x" | "timing" | "o" | "out" | "conninfo", _) => Meta::Wrong(format!("\\{command}: too many words")),
            (other, _) => Meta::Wrong(format!("there is no \\{other}; \\? lists what there is")),
        }
    }

    /// What a line without a backslash asks for that can be no statement, at the prompt.
    pub(super) fn of_word(line: &str) -> Option<Self> {
        match line.trim().trim_end_matches(';').trim_end().to_ascii_lowercase().as_str() {
            "quit" | "exit" => Some(Meta::Quit),
            "help" => Some(Meta::Help),
            _ => None,
        }
    }
}

/// Questions to the catalog.
fn catalog(command: &str, argument: &str) -> Option<Meta> {
    let pattern = Pattern::parse(argument);
    let pattern = pattern.as_ref();
    let question = match (command, pattern) {
        ("d", Some(pattern)) => return Some(Meta::Describe(pattern.clone())),
        ("d", None) => describe::relations("Relations", &Kind::ALL, None),
        ("dt", pattern) => describe::relations("Tables", &[Kind::Table], pattern),
        ("dv", pattern) => describe::relations("Views", &[Kind::View], pattern),
        ("de" | "dE" | "det", pattern) => describe::relations("External tables", &[Kind::External], pattern),
        ("ds", pattern) => describe::sequences(pattern),
        ("dn", pattern) => describe::schemas(pattern),
        ("db", pattern) => describe::tablespaces(pattern),
        ("du" | "dg", pattern) => describe::roles(pattern),
        ("df", pattern) => describe::functions(pattern),
        ("l" | "list", _) => describe::databases(),
        _ => return None,
    };
    Some(Meta::Ask(Box::new(question)))
}

fn connect(words: &[&str]) -> Meta {
    let (place, user) = match words {
        [] => ("-", None),
        [place] => (*place, None),
        [place, user] => (*place, Some((*user).to_owned()).filter(|user| user != "-")),
        _ => return Meta::Wrong("\\c takes a URL, or - for this one, and a user".into()),
    };
    match place {
        url if url.contains(':') => Meta::Connect { url: Some(url.to_owned()), user },
        database if database == "-" || DATABASES.contains(&database) => Meta::Connect { url: None, user },
        other => Meta::Wrong(format!(
            "database \"{other}\" does not exist: a cluster has one; \\c HOST:PORT connects to another"
        )),
    }
}

fn switch(argument: &str) -> Option<bool> {
    match argument {
        "on" | "true" | "1" => Some(true),
        "off" | "false" | "0" => Some(false),
        _ => None,
    }
}

/// The words of a line: parts in single quotes keep their blanks, `''` in them is a quote, as is `\'`; `\n` and `\t` are what they are
/// elsewhere. `:name` at a word's beginning is its variable, if there is one.
fn words(line: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Vec<String>, String> {
    let mut words = vec![];
    let mut chars = line.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        let Some(&first) = chars.peek() else { return Ok(words) };
        let (mut word, mut was_quoted) = (String::new(), false);
        while let Some(c) = chars.next_if(|c| !c.is_whitespace()) {
            if c == '\'' {
                was_quoted = true;
                quoted_part(&mut chars, &mut word)?;
            } else {
                word.push(c);
            }
        }
        let value = word.strip_prefix(':').filter(|_| first == ':' && !was_quoted).and_then(&variable);
        words.push(value.unwrap_or(word));
    }
}

/// What follows an opening quote, to the closing one.
fn quoted_part(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, word: &mut String) -> Result<(), String> {
    let open = || "unterminated quoted string".to_owned();
    loop {
        match chars.next().ok_or_else(open)? {
            '\'' if chars.next_if_eq(&'\'').is_some() => word.push('\''),
            '\'' => return Ok(()),
            '\\' => word.push(match chars.next().ok_or_else(open)? {
                'n' => '\n',
                't' => '\t',
                other => other,
            }),
            c => word.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Meta {
        Meta::parse(line, |name| (name == "n").then(|| "a value".to_owned()))
    }

    #[test]
    fn commands_are_read() {
        assert_eq!(parse("q"), Meta::Quit);
        assert_eq!(parse("x"), Meta::Expanded(None));
        assert_eq!(parse("x auto"), Meta::Expanded(Some(Expanded::Auto)));
        assert_eq!(parse(" timing  on ; "), Meta::Timing(Some(true)));
        assert_eq!(parse("i 'a file.sql'"), Meta::Include("a file.sql".into()));
        assert_eq!((parse("o out.txt"), parse("o")), (Meta::Output(Some("out.txt".into())), Meta::Output(None)));
        assert_eq!(parse("set n  'O''Neil' s"), Meta::Set("n".into(), "O'Neils".into()));
        assert_eq!((parse("set"), parse("unset n")), (Meta::ShowVariables, Meta::Unset("n".into())));
        assert_eq!(parse("conninfo"), Meta::ConnectionInfo);
        for wrong in ["x maybe", "i", "nonsense", "copy t from 'x'", "", "echo 'open", "o |less", "c other", "x on off"]
        {
            assert!(matches!(parse(wrong), Meta::Wrong(_)), "{wrong}");
        }
    }

    #[test]
    fn words_are_printed_as_psql_prints_them() {
        let echo = |line| match parse(line) {
            Meta::Echo(EchoTo::Stdout, text) => text,
            other => panic!("{other:?}"),
        };
        assert_eq!(echo("echo a   b 'c   d' 'it''s\\n'"), "a b c   d it's\n");
        assert_eq!(echo("echo :n ':n' :other x:n"), "a value :n :other x:n");
        assert_eq!(parse("warn a"), Meta::Echo(EchoTo::Stderr, "a".into()));
    }

    #[test]
    fn the_catalog_is_asked_by_pattern() {
        let title = |line| match parse(line) {
            Meta::Ask(question) => question.title,
            other => panic!("{other:?}"),
        };
        for (line, wanted) in [
            ("d", "Relations"),
            ("dt;", "Tables"),
            ("dt+ o*", "Tables"),
            ("ds", "Sequences"),
            ("df abs", "Functions"),
            ("du", "Roles"),
        ] {
            assert_eq!(title(line), wanted);
        }
        assert!(matches!(parse("d \"It's\".t"), Meta::Describe(pattern) if pattern.text() == "\"It's\".t"));
    }

    #[test]
    fn another_session_can_be_elsewhere() {
        let connect = |url: Option<&str>, user: Option<&str>| Meta::Connect {
            url: url.map(str::to_owned),
            user: user.map(str::to_owned),
        };
        assert_eq!((parse("c"), parse("c postgres")), (connect(None, None), connect(None, None)));
        assert_eq!(parse("c - me"), connect(None, Some("me")));
        assert_eq!(parse("c flight://h:1 -"), connect(Some("flight://h:1"), None));
        assert_eq!(parse("c h:1 me"), connect(Some("h:1"), Some("me")));
        assert!(matches!(parse("c elsewhere"), Meta::Wrong(_)));
    }

    #[test]
    fn words_that_can_be_no_statement_are_commands_at_the_prompt() {
        assert_eq!((Meta::of_word(" EXIT ; "), Meta::of_word("quit")), (Some(Meta::Quit), Some(Meta::Quit)));
        assert_eq!((Meta::of_word("help"), Meta::of_word("help me")), (Some(Meta::Help), None));
    }
}
