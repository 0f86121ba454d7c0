//! CREATE, ALTER and DROP ROLE; GRANT and REVOKE; OWNER TO.

use super::cursor::{Cursor, is_word};
use super::statement::{
    AlterRole, CreateRole, GrantObject, MembershipChange, Name, Password, PrivilegeChange, RoleOptions, RoleSpec,
    Statement,
};
use crate::error::{SqlError, SqlResult, SqlState};
use sqlparser::tokenizer::{Token, TokenWithSpan};

/// Takes ROLE, USER or GROUP. Not USER of USER MAPPING.
pub(super) fn kind(cursor: &mut Cursor<'_>) -> bool {
    !cursor.peek_word(1, "MAPPING") && (cursor.word("ROLE") || cursor.word("USER") || cursor.word("GROUP"))
}

/// After CREATE ROLE. CREATE USER is one that can log in.
pub(super) fn create(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    let is_user = is_word(&cursor.parser.get_current_token().token, "USER");
    let role = new_name(cursor)?;
    let mut create =
        CreateRole { role, options: RoleOptions::default(), in_roles: vec![], members: vec![], admins: vec![] };
    cursor.word("WITH");
    while !cursor.at_end() {
        if option(cursor, &mut create.options)? {
            continue;
        }
        let list = if cursor.words(&["IN", "ROLE"]) || cursor.words(&["IN", "GROUP"]) {
            &mut create.in_roles
        } else if cursor.word("ADMIN") {
            &mut create.admins
        } else if cursor.word("ROLE") || cursor.word("USER") {
            &mut create.members
        } else {
            return Err(cursor.unexpected());
        };
        list.extend(cursor.list(Cursor::name)?);
    }
    create.options.login.get_or_insert(is_user);
    Ok(Statement::CreateRole(Box::new(create)))
}

/// After ALTER ROLE.
pub(super) fn alter(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    let role = spec(cursor, false)?;
    if cursor.words(&["RENAME", "TO"]) {
        let RoleSpec::Named(role) = role else { return Err(cursor.unsupported("RENAME of the current user")) };
        return Ok(Statement::RenameRole { role, to: new_name(cursor)? });
    }
    if cursor.peek_word(0, "SET") || cursor.peek_word(0, "RESET") || cursor.peek_word(0, "IN") {
        return Err(cursor.unsupported("ALTER ROLE ... SET"));
    }
    cursor.word("WITH");
    let mut options = RoleOptions::default();
    while !cursor.at_end() {
        if !option(cursor, &mut options)? {
            return Err(cursor.unexpected());
        }
    }
    Ok(Statement::AlterRole(Box::new(AlterRole { role, options })))
}

/// After DROP ROLE.
pub(super) fn drop(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    let if_exists = cursor.if_exists();
    Ok(Statement::DropRole { roles: cursor.list(Cursor::name)?, if_exists })
}

/// One attribute, if one is next.
fn option(cursor: &mut Cursor<'_>, options: &mut RoleOptions) -> SqlResult<bool> {
    let position = cursor.position();
    let RoleOptions { superuser, createdb, createrole, inherit, login, connection_limit, password, valid_until } =
        options;
    let flags = [
        ("SUPERUSER", "NOSUPERUSER", superuser),
        ("CREATEDB", "NOCREATEDB", createdb),
        ("CREATEROLE", "NOCREATEROLE", createrole),
        ("INHERIT", "NOINHERIT", inherit),
        ("LOGIN", "NOLOGIN", login),
    ];
    for (yes, no, flag) in flags {
        let value = cursor.word(yes);
        if value || cursor.word(no) {
            return once(flag, value, position);
        }
    }
    if cursor.words(&["CONNECTION", "LIMIT"]) {
        let at = cursor.position();
        let negative = cursor.token(&Token::Minus);
        let Token::Number(digits, _) = cursor.peek() else { return Err(cursor.expected("a number")) };
        let limit = match (negative, digits.parse::<u32>()) {
            (true, Ok(1)) => None,
            (false, Ok(limit)) => Some(limit),
            _ => {
                let message = "invalid connection limit";
                return Err(SqlError::new(SqlState::INVALID_PARAMETER, message).at(at));
            }
        };
        cursor.parser.advance_token();
        return once(connection_limit, limit, position);
    }
    if cursor.words(&["VALID", "UNTIL"]) {
        let until = cursor.string().ok_or_else(|| cursor.expected("a time in quotes"))?;
        return once(valid_until, until, position);
    }
    cursor.word("ENCRYPTED");
    if cursor.word("PASSWORD") {
        let written = match cursor.word("NULL") {
            true => None,
            false => Some(Password(cursor.string().ok_or_else(|| cursor.expected("a password in quotes"))?)),
        };
        return once(password, written, position);
    }
    Ok(false)
}

fn once<T>(option: &mut Option<T>, value: T, position: usize) -> SqlResult<bool> {
    match option.replace(value) {
        None => Ok(true),
        Some(_) => Err(SqlError::new(SqlState::SYNTAX_ERROR, "conflicting or redundant options").at(position)),
    }
}

/// The name of a role to be: not one that means another.
fn new_name(cursor: &mut Cursor<'_>) -> SqlResult<Name> {
    let is_quoted = matches!(cursor.peek(), Token::Word(word) if word.quote_style.is_some());
    let name = cursor.name()?;
    let is_special = ["current_user", "session_user", "current_role"].contains(&name.text.as_str()) && !is_quoted;
    if is_special || ["public", "none"].contains(&name.text.as_str()) || name.text.starts_with("pg_") {
        let message = format!("role name \"{}\" is reserved", name.text);
        return Err(SqlError::new(SqlState::RESERVED_NAME, message).at(name.position));
    }
    Ok(name)
}

fn spec(cursor: &mut Cursor<'_>, public: bool) -> SqlResult<RoleSpec> {
    cursor.word("GROUP");
    if cursor.word("CURRENT_USER") || cursor.word("CURRENT_ROLE") {
        return Ok(RoleSpec::CurrentUser);
    }
    if cursor.word("SESSION_USER") {
        return Ok(RoleSpec::SessionUser);
    }
    if public && cursor.word("PUBLIC") {
        return Ok(RoleSpec::Public);
    }
    cursor.name().map(RoleSpec::Named)
}

pub(super) fn grant(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    cursor.expect_word("GRANT")?;
    let names = privileges(cursor)?;
    if !cursor.word("ON") {
        cursor.expect_word("TO")?;
        let members = cursor.list(|cursor| spec(cursor, false))?;
        let admin = cursor.words(&["WITH", "ADMIN", "OPTION"]);
        return Ok(Statement::Membership(MembershipChange { grants: true, roles: names, members, admin }));
    }
    let objects = objects(cursor)?;
    cursor.expect_word("TO")?;
    let roles = cursor.list(|cursor| spec(cursor, true))?;
    let option = cursor.words(&["WITH", "GRANT", "OPTION"]);
    Ok(Statement::Privileges(PrivilegeChange { grants: true, privileges: upper(names), objects, roles, option }))
}

pub(super) fn revoke(cursor: &mut Cursor<'_>) -> SqlResult<Statement> {
    cursor.expect_word("REVOKE")?;
    let admin = cursor.words(&["ADMIN", "OPTION", "FOR"]);
    let option = cursor.words(&["GRANT", "OPTION", "FOR"]);
    let names = privileges(cursor)?;
    if !cursor.word("ON") {
        cursor.expect_word("FROM")?;
        let members = cursor.list(|cursor| spec(cursor, false))?;
        cursor.cascade();
        return Ok(Statement::Membership(MembershipChange { grants: false, roles: names, members, admin }));
    }
    let objects = objects(cursor)?;
    cursor.expect_word("FROM")?;
    let roles = cursor.list(|cursor| spec(cursor, true))?;
    if cursor.cascade() {
        return Err(cursor.unsupported("REVOKE ... CASCADE"));
    }
    Ok(Statement::Privileges(PrivilegeChange { grants: false, privileges: upper(names), objects, roles, option }))
}

/// Privileges, or roles, as they were written; empty for ALL.
fn privileges(cursor: &mut Cursor<'_>) -> SqlResult<Vec<Name>> {
    if cursor.word("ALL") {
        cursor.word("PRIVILEGES");
        return Ok(vec![]);
    }
    let names = cursor.list(Cursor::name)?;
    if *cursor.peek() == Token::LParen {
        return Err(cursor.unsupported("GRANT of privileges on columns"));
    }
    Ok(names)
}

fn upper(names: Vec<Name>) -> Vec<Name> {
    names.into_iter().map(|name| Name { text: name.text.to_ascii_uppercase(), ..name }).collect()
}

fn objects(cursor: &mut Cursor<'_>) -> SqlResult<Vec<GrantObject>> {
    if cursor.words(&["ALL", "TABLES", "IN", "SCHEMA"]) {
        return cursor.list(|cursor| cursor.name().map(GrantObject::AllTables));
    }
    if cursor.words(&["ALL", "SEQUENCES", "IN", "SCHEMA"]) {
        return cursor.list(|cursor| cursor.name().map(GrantObject::AllSequences));
    }
    if cursor.word("SCHEMA") {
        return cursor.list(|cursor| cursor.name().map(GrantObject::Schema));
    }
    if cursor.word("DATABASE") {
        return cursor.list(|cursor| cursor.name().map(GrantObject::Database));
    }
    if cursor.word("SEQUENCE") {
        return cursor.list(|cursor| cursor.relation().map(GrantObject::Sequence));
    }
    for known in ["FUNCTION", "LANGUAGE", "TABLESPACE", "TYPE", "DOMAIN", "FOREIGN", "PROTOCOL", "ALL"] {
        if cursor.peek_word(0, known) {
            return Err(cursor.unsupported(format!("GRANT ... ON {known}")));
        }
    }
    cursor.word("TABLE");
    cursor.list(|cursor| cursor.relation().map(GrantObject::Table))
}

/// After ALTER: what ends with OWNER TO, if that is what it is.
pub(super) fn owner_to(cursor: &mut Cursor<'_>) -> SqlResult<Option<Statement>> {
    type Object = fn(&mut Cursor<'_>) -> SqlResult<GrantObject>;
    let kinds: [(&str, Object); 5] = [
        ("TABLE", |cursor| cursor.relation().map(GrantObject::Table)),
        ("VIEW", |cursor| cursor.relation().map(GrantObject::View)),
        ("SEQUENCE", |cursor| cursor.relation().map(GrantObject::Sequence)),
        ("SCHEMA", |cursor| cursor.name().map(GrantObject::Schema)),
        ("DATABASE", |cursor| cursor.name().map(GrantObject::Database)),
    ];
    for (word, object) in kinds {
        if !cursor.peek_word(0, word) {
            continue;
        }
        // `t OWNER TO r`, `s.t OWNER TO r`, `d.s.t OWNER TO r`.
        if ![2, 4, 6].iter().any(|at| cursor.peek_word(*at, "OWNER") && cursor.peek_word(at + 1, "TO")) {
            return Ok(None);
        }
        cursor.parser.advance_token();
        let object = object(cursor)?;
        cursor.expect_word("OWNER")?;
        cursor.expect_word("TO")?;
        return Ok(Some(Statement::OwnerTo { object, owner: spec(cursor, false)? }));
    }
    Ok(None)
}

/// Whether they are a statement that may have a password: errors must not repeat what follows.
pub(super) fn has_password(tokens: &[TokenWithSpan]) -> bool {
    let mut words = tokens.iter().map(|token| &token.token).filter(|token| !matches!(token, Token::Whitespace(_)));
    words.any(|token| is_word(token, "PASSWORD")) && is_of_role(tokens)
}

fn is_of_role(tokens: &[TokenWithSpan]) -> bool {
    let words = tokens.iter().map(|token| &token.token).filter(|token| !matches!(token, Token::Whitespace(_)));
    let words: Vec<&Token> = words.take(16).collect();
    words.windows(2).any(|pair| {
        (is_word(pair[0], "CREATE") || is_word(pair[0], "ALTER"))
            && ["ROLE", "USER", "GROUP"].iter().any(|kind| is_word(pair[1], kind))
    })
}

/// An error of such a statement without its text.
pub(super) fn without_text(error: SqlError) -> SqlError {
    let repeats = error.message.contains(" at or near ") || error.state == SqlState::NAME_TOO_LONG;
    if repeats { SqlError { message: "syntax error in a statement with a password".into(), ..error } } else { error }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn roles_have_attributes() {
        let text =
            "create user U with password 'x' superuser connection limit -1 valid until 'infinity' in role a, b admin c";
        let Ok(Statement::CreateRole(create)) = parse(text) else { panic!("{text}") };
        assert_eq!((create.role.text.as_str(), create.options.login), ("u", Some(true)));
        assert_eq!((create.options.superuser, create.options.connection_limit), (Some(true), Some(None)));
        assert_eq!(create.options.password, Some(Some(Password("x".into()))));
        assert_eq!((create.in_roles.len(), create.members.len(), create.admins.len()), (2, 0, 1));
        let Ok(Statement::CreateRole(create)) = parse("CREATE ROLE r") else { panic!("a role") };
        assert_eq!(create.options, RoleOptions { login: Some(false), ..RoleOptions::default() });
    }

    #[test]
    fn privileges_are_told_from_roles() {
        let Ok(Statement::Privileges(grant)) = parse("grant select, insert on a, s.b to u, public") else {
            panic!("privileges")
        };
        assert_eq!(grant.privileges.iter().map(|name| name.text.as_str()).collect::<Vec<_>>(), ["SELECT", "INSERT"]);
        assert_eq!((grant.objects.len(), &grant.roles[1], grant.option), (2, &RoleSpec::Public, false));
        let Ok(Statement::Membership(revoke)) = parse("revoke admin option for a, b from c cascade") else {
            panic!("roles")
        };
        assert_eq!((revoke.grants, revoke.roles.len(), revoke.admin), (false, 2, true));
        let Ok(Statement::OwnerTo { object, .. }) = parse("alter table s.t owner to current_user") else {
            panic!("an owner")
        };
        assert!(matches!(object, GrantObject::Table(name) if name.name == "t"));
    }

    #[test]
    fn passwords_are_in_no_error() {
        for text in [
            "create user u password hush",
            "create role r password 'x' 'hush'",
            "alter user u password 'a' hush",
            "create user u password \"hush\"",
        ] {
            let error = parse(text).expect_err(text);
            assert!(!format!("{error:?}").contains("hush"), "{error:?}");
        }
        let parsed = parse("create user u password 'hush'").expect("a role");
        assert!(!format!("{parsed:?}").contains("hush"));
    }
}
