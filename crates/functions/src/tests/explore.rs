#[tokio::test]
async fn explore() {
    let Ok(file) = std::env::var("EXPLORE") else { return };
    let context = super::context();
    for sql in std::fs::read_to_string(file).unwrap().lines() {
        let sql = sql.trim();
        if sql.is_empty() {
            continue;
        }
        match super::try_run(&context, sql).await {
            Ok(batches) => {
                let types: Vec<String> = batches
                    .first()
                    .map(|b| b.schema().fields().iter().map(|f| f.data_type().to_string()).collect())
                    .unwrap_or_default();
                println!("{sql}\n    => {}   [{}]", super::text(&batches).join(" ; "), types.join(", "));
            }
            Err(error) => println!(
                "{sql}\n    !! {:?} {}",
                crate::sqlstate_of(&error),
                error.to_string().lines().next().unwrap_or("")
            ),
        }
    }
}
