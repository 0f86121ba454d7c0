use super::{err, err_at, ok};
use crate::error::SqlState;
use crate::sql::statement::{CreateSecret, CreateTablespace, Statement};
use damson_cluster::SecretType;

fn secret(sql: &str) -> CreateSecret {
    match ok(sql) {
        Statement::CreateSecret(create) => create,
        other => panic!("{sql}: {other:?}"),
    }
}

/// Of `CREATE SECRET s (TYPE kind, options)`.
fn options(kind: &str, options: &str) -> Vec<(String, String)> {
    secret(&format!("create secret s (type {kind}, {options})")).access.options.into_iter().collect()
}

fn pairs(options: &[(&str, &str)]) -> Vec<(String, String)> {
    options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn state(kind: &str, options: &str) -> SqlState {
    err(&format!("create secret s (type {kind}, {options})")).state
}

#[test]
fn secrets() {
    let create = secret("create secret \"S\" (type s3, key_id 'a', secret 'b', scope 'S3://bucket/prefix/')");
    assert_eq!((create.name.text.as_str(), create.kind), ("S", SecretType::S3));
    assert_eq!(create.scope, "s3://bucket/prefix");
    assert!(!create.or_replace && !create.if_not_exists);
    assert!(secret("create or replace secret s (region 'x', type 's3')").or_replace);
    assert!(secret("create persistent secret if not exists s (TYPE S3, REGION = 'x')").if_not_exists);
    for (kind, scope) in [("s3", "s3://"), ("gcs", "gs://"), ("gs", "gs://"), ("azure", "az://")] {
        let create = secret(&format!("create secret s (type {kind}, skip_signature true)"));
        assert_eq!(create.scope, scope);
    }
    assert!(matches!(ok("drop secret if exists s"), Statement::DropSecret { if_exists: true, .. }));
    assert!(matches!(ok("drop secret s"), Statement::DropSecret { if_exists: false, .. }));
    let syntax = SqlState::SYNTAX_ERROR;
    assert_eq!(err_at("create secret (type s3)", syntax), "(type s3)");
    assert_eq!(err_at("create secret s (region 'x')", syntax), "s (region 'x')");
    assert_eq!(err_at("create or replace secret if not exists s (type s3)", syntax), "not exists s (type s3)");
    assert_eq!(err_at("create secret s (type s3, region 'x', region 'y')", syntax), "region 'y')");
    assert_eq!(
        err_at("create secret s (type s3, key_id 'x', aws_access_key_id 'y')", syntax),
        "aws_access_key_id 'y')"
    );
    assert_eq!(err_at("create secret s (type s3, region 'x') x", syntax), "x");
    let unsupported = SqlState::FEATURE_NOT_SUPPORTED;
    assert_eq!(err("create temporary secret s (type s3)").state, unsupported);
    assert_eq!(err("create secret s in memory (type s3)").state, unsupported);
    assert_eq!(state("s3", "provider credential_chain"), unsupported);
    assert_eq!(err("alter secret s (type s3)").state, unsupported);
    let wrong = SqlState::INVALID_PARAMETER;
    assert_eq!(state("ftp", "region 'x'"), wrong);
    assert_eq!(state("s3", "region 'x', scope 'gs://b'"), wrong);
    assert_eq!(state("s3", "region 'x', scope 's3://u:p@b'"), wrong);
    assert_eq!(err("create secret s (type s3)").state, wrong);
    let scope = err("create secret s (type gcs, skip_signature true, scope 'bucket/prefix')");
    assert!(scope.state == wrong && scope.message.contains("a URL such as gs://bucket/prefix"), "{scope}");
    let unknown = err("create secret s (type s3, keyid 'a', secret 'b')");
    assert!(unknown.state == wrong && unknown.hint.as_deref().is_some_and(|hint| hint.contains("KEY_ID")), "{unknown}");
}

#[test]
fn options_by_duckdbs_words_and_object_stores() {
    assert_eq!(
        options("s3", "provider config, key_id 'a', secret 'b', session_token 'c', region 'd', requester_pays true"),
        pairs(&[
            ("access_key_id", "a"),
            ("region", "d"),
            ("request_payer", "true"),
            ("secret_access_key", "b"),
            ("session_token", "c"),
        ])
    );
    assert_eq!(
        options("s3", "AWS_ACCESS_KEY_ID 'a', secret_access_key 'b', token 'c', timeout '5s'"),
        pairs(&[("access_key_id", "a"), ("secret_access_key", "b"), ("session_token", "c"), ("timeout", "5s")])
    );
    assert_eq!(
        options("s3", "endpoint 'localhost:9000', use_ssl false, url_style path"),
        pairs(&[
            ("allow_http", "true"),
            ("endpoint", "http://localhost:9000"),
            ("virtual_hosted_style_request", "false"),
        ])
    );
    assert_eq!(
        options("s3", "endpoint 'minio.example.org', url_style 'vhost'"),
        pairs(&[("endpoint", "https://minio.example.org"), ("virtual_hosted_style_request", "true")])
    );
    assert_eq!(
        options("s3", "endpoint_url 'http://localhost:9000'"),
        pairs(&[("allow_http", "true"), ("endpoint", "http://localhost:9000")])
    );
    assert_eq!(
        options("s3", "kms_key_id 'k'"),
        pairs(&[("server_side_encryption", "aws:kms"), ("sse_kms_key_id", "k")])
    );
    assert_eq!(options("gcs", "service_account_key '{}'"), pairs(&[("service_account_key", "{}")]));
    assert_eq!(
        options("azure", "azure_storage_account_name 'a', account_key 'b'"),
        pairs(&[("access_key", "b"), ("account_name", "a")])
    );
    assert_eq!(
        options("azure", "connection_string 'DefaultEndpointsProtocol=https;AccountName=a;AccountKey=b==;'"),
        pairs(&[("access_key", "b=="), ("account_name", "a")])
    );
    assert_eq!(
        options("azure", "tenant_id 't', client_id 'c', client_secret 's', account_name 'a'"),
        pairs(&[("account_name", "a"), ("client_id", "c"), ("client_secret", "s"), ("tenant_id", "t")])
    );
    for (kind, wrong) in [
        ("s3", "key_id 'a'"),
        ("s3", "account_name 'a'"),
        ("s3", "url_style 'other', region 'x'"),
        ("s3", "use_ssl maybe, region 'x'"),
        ("s3", "use_ssl false, region 'x'"),
        ("s3", "endpoint 'https://h', use_ssl false"),
        ("s3", "endpoint 'ftp://h'"),
        ("gcs", "key_id 'a', secret 'b'"),
        ("gcs", "region 'x'"),
        ("azure", "connection_string 'hush'"),
        ("azure", "connection_string 'AccountName=a;EndpointSuffix=elsewhere'"),
        ("azure", "region 'x'"),
    ] {
        assert_eq!(state(kind, wrong), SqlState::INVALID_PARAMETER, "{kind}: {wrong}");
    }
    assert_eq!(state("s3", &format!("region '{}'", "x".repeat(70_000))), SqlState::TOO_COMPLEX);
}

/// Whatever is wrong with the statement.
#[test]
fn what_secrets_say_is_not_repeated() {
    let create = format!("{:?}", ok("create secret s (type s3, key_id 'hush', secret 'hush2')"));
    assert!(!create.contains("hush") && create.contains("secret_access_key"), "{create}");
    for sql in [
        "create secret s (type s3, key_id 'hush' 'hush')",
        "create secret s (type s3, key_id 'a, secret 'hush', region 'x')",
        "create secret s (type s3, key_id 'a', secret hush hush)",
        "create secret s (type s3, key_id 'a', secret 'hush') hush",
        "create secret s (type 'hush')",
        "create secret s (type s3, provider 'hush')",
        "create secret s (type s3, url_style 'hush')",
        "create secret s (type s3, use_ssl 'hush')",
        "create secret s (type s3, scope 'hush')",
        "create secret s (type s3, scope 's3://a:hush@b')",
        "create secret s (type s3, endpoint 'hush://hush')",
        "create secret s (type s3, secret 'hush')",
        "create secret s (type azure, connection_string 'hush')",
        "create secret s (type azure, connection_string 'AccountName=hush;hush=hush')",
        "create secret s (type s3, secret 'hush",
        "create or replace persistent secret s (type s3, secret 'hush';",
        "create or replace secret s (type s3 hush)",
        "create secret s (type s3, key_id 'a, secret ', hush 'x')",
        "explain (analyze, verbose) create secret s (type s3, key_id 'a' 'hush')",
    ] {
        let error = err(sql);
        assert!(!error.to_string().to_ascii_lowercase().contains("hush"), "{sql}: {error}");
    }
    let long = format!("create secret s (type s3, key_id 'a, secret ', hush{} 'x')", "h".repeat(70));
    assert!(!err(&long).to_string().contains("hush"), "{}", err(&long));
    // Others are told what is wrong.
    assert!(err("create table secret (a int,, b int)").message.contains("near"));
}

#[test]
fn tablespaces() {
    let create = |sql: &str| match ok(sql) {
        Statement::CreateTablespace(create) => create,
        other => panic!("{sql}: {other:?}"),
    };
    let CreateTablespace { name, location, secret } = create("create tablespace T location 'S3://b/a/'");
    assert_eq!((name.text.as_str(), location.as_str(), secret.is_none()), ("t", "s3://b/a", true));
    for with in ["with (secret = s)", "WITH (SECRET='s')", "with (\"secret\" = \"s\")"] {
        let made = create(&format!("create tablespace t location 'gs://b' {with}"));
        assert_eq!(made.secret.unwrap().text, "s", "{with}");
    }
    assert!(matches!(ok("drop tablespace t"), Statement::DropTablespace { if_exists: false, .. }));
    assert!(matches!(ok("drop tablespace if exists t"), Statement::DropTablespace { if_exists: true, .. }));
    let wrong = SqlState::INVALID_PARAMETER;
    assert_eq!(err_at("create tablespace t location '/data'", wrong), "'/data'");
    assert_eq!(err_at("create tablespace t location 's3://'", wrong), "'s3://'");
    assert_eq!(err_at("create tablespace t location 's3://b' with (a = 1)", SqlState::SYNTAX_ERROR), "1)");
    assert_eq!(err_at("create tablespace t location 's3://b' with (a = b)", wrong), "a = b)");
    assert_eq!(err_at("create tablespace t location 's3://b' with (secret = a, secret = b)", wrong), "secret = b)");
    assert_eq!(err_at("create tablespace t", SqlState::SYNTAX_ERROR), "");
    let unsupported = SqlState::FEATURE_NOT_SUPPORTED;
    assert_eq!(err("create tablespace t owner me location 's3://b'").state, unsupported);
    assert_eq!(err("alter tablespace t rename to u").state, unsupported);
    assert_eq!(err("alter table t set tablespace u").state, unsupported);
}

#[test]
fn tables_in_tablespaces() {
    for sql in [
        "create table t (a int) tablespace \"T\" distributed by (a)",
        "create table t (a int) distributed by (a) tablespace \"T\"",
        "create table t (a int) with (compresstype=lz4) tablespace \"T\"",
        "create table t (a int) tablespace \"T\" with (compresstype=lz4) distributed randomly",
        "create table t (like u) tablespace \"T\"",
    ] {
        let Statement::CreateTable(create) = ok(sql) else { panic!("{sql}") };
        assert_eq!(create.tablespace.unwrap().text, "T", "{sql}");
    }
    for sql in [
        "create table t tablespace \"T\" as select 1 as a",
        "create table t (a) with (compresstype=lz4) tablespace \"T\" as select 1 distributed by (a)",
    ] {
        let Statement::CreateTableAs(create) = ok(sql) else { panic!("{sql}") };
        assert_eq!(create.tablespace.unwrap().text, "T", "{sql}");
    }
    let Statement::CreateTable(create) = ok("create table t (a int)") else { panic!() };
    assert!(create.tablespace.is_none());
    err_at("create table t (a int) tablespace a tablespace b", SqlState::SYNTAX_ERROR);
}
