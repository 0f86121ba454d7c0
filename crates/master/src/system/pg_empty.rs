//! Catalogs of what Damson does not have: PostgreSQL 14's columns, and no rows.

use super::PG_CATALOG;
use super::cells::{Column, bigint, bigints, boolean, integer, oid, real, smallint, smallints, text, texts, time};
use super::table::SystemTable;

const fn empty(name: &'static str, columns: &'static [Column]) -> SystemTable {
    SystemTable { schema_name: PG_CATALOG, name, columns, rows: |_| vec![] }
}

pub(super) const ENUM: SystemTable =
    empty("pg_enum", &[oid("oid"), oid("enumtypid"), real("enumsortorder"), text("enumlabel")]);

pub(super) const RANGE: SystemTable = empty(
    "pg_range",
    &[
        oid("rngtypid"),
        oid("rngsubtype"),
        oid("rngmultitypid"),
        oid("rngcollation"),
        oid("rngsubopc"),
        oid("rngcanonical"),
        oid("rngsubdiff"),
    ],
);

pub(super) const TRIGGER: SystemTable = empty(
    "pg_trigger",
    &[
        oid("oid"),
        oid("tgrelid"),
        oid("tgparentid"),
        text("tgname"),
        oid("tgfoid"),
        smallint("tgtype"),
        text("tgenabled"),
        boolean("tgisinternal"),
        oid("tgconstrrelid"),
        oid("tgconstrindid"),
        oid("tgconstraint"),
        boolean("tgdeferrable"),
        boolean("tginitdeferred"),
        smallint("tgnargs"),
        smallints("tgattr"),
        text("tgargs"),
        text("tgqual"),
        text("tgoldtable"),
        text("tgnewtable"),
    ],
);

pub(super) const REWRITE: SystemTable = empty(
    "pg_rewrite",
    &[
        oid("oid"),
        text("rulename"),
        oid("ev_class"),
        text("ev_type"),
        text("ev_enabled"),
        boolean("is_instead"),
        text("ev_qual"),
        text("ev_action"),
    ],
);

pub(super) const RULES: SystemTable =
    empty("pg_rules", &[text("schemaname"), text("tablename"), text("rulename"), text("definition")]);

pub(super) const POLICY: SystemTable = empty(
    "pg_policy",
    &[
        oid("oid"),
        text("polname"),
        oid("polrelid"),
        text("polcmd"),
        boolean("polpermissive"),
        bigints("polroles"),
        text("polqual"),
        text("polwithcheck"),
    ],
);

pub(super) const POLICIES: SystemTable = empty(
    "pg_policies",
    &[
        text("schemaname"),
        text("tablename"),
        text("policyname"),
        text("permissive"),
        texts("roles"),
        text("cmd"),
        text("qual"),
        text("with_check"),
    ],
);

pub(super) const EXTENSION: SystemTable = empty(
    "pg_extension",
    &[
        oid("oid"),
        text("extname"),
        oid("extowner"),
        oid("extnamespace"),
        boolean("extrelocatable"),
        text("extversion"),
        bigints("extconfig"),
        texts("extcondition"),
    ],
);

pub(super) const AVAILABLE_EXTENSIONS: SystemTable = empty(
    "pg_available_extensions",
    &[text("name"), text("default_version"), text("installed_version"), text("comment")],
);

pub(super) const FOREIGN_TABLE: SystemTable =
    empty("pg_foreign_table", &[oid("ftrelid"), oid("ftserver"), texts("ftoptions")]);

pub(super) const FOREIGN_SERVER: SystemTable = empty(
    "pg_foreign_server",
    &[
        oid("oid"),
        text("srvname"),
        oid("srvowner"),
        oid("srvfdw"),
        text("srvtype"),
        text("srvversion"),
        texts("srvacl"),
        texts("srvoptions"),
    ],
);

pub(super) const FOREIGN_DATA_WRAPPER: SystemTable = empty(
    "pg_foreign_data_wrapper",
    &[
        oid("oid"),
        text("fdwname"),
        oid("fdwowner"),
        oid("fdwhandler"),
        oid("fdwvalidator"),
        texts("fdwacl"),
        texts("fdwoptions"),
    ],
);

pub(super) const USER_MAPPINGS: SystemTable = empty(
    "pg_user_mappings",
    &[oid("umid"), oid("srvid"), text("srvname"), oid("umuser"), text("usename"), texts("umoptions")],
);

pub(super) const PUBLICATION: SystemTable = empty(
    "pg_publication",
    &[
        oid("oid"),
        text("pubname"),
        oid("pubowner"),
        boolean("puballtables"),
        boolean("pubinsert"),
        boolean("pubupdate"),
        boolean("pubdelete"),
        boolean("pubtruncate"),
        boolean("pubviaroot"),
    ],
);

pub(super) const PUBLICATION_REL: SystemTable =
    empty("pg_publication_rel", &[oid("oid"), oid("prpubid"), oid("prrelid")]);

pub(super) const PUBLICATION_TABLES: SystemTable =
    empty("pg_publication_tables", &[text("pubname"), text("schemaname"), text("tablename")]);

pub(super) const SUBSCRIPTION: SystemTable = empty(
    "pg_subscription",
    &[
        oid("oid"),
        oid("subdbid"),
        text("subname"),
        oid("subowner"),
        boolean("subenabled"),
        boolean("subbinary"),
        boolean("substream"),
        text("subconninfo"),
        text("subslotname"),
        text("subsynccommit"),
        texts("subpublications"),
    ],
);

pub(super) const STATISTIC_EXT: SystemTable = empty(
    "pg_statistic_ext",
    &[
        oid("oid"),
        oid("stxrelid"),
        text("stxname"),
        oid("stxnamespace"),
        oid("stxowner"),
        integer("stxstattarget"),
        smallints("stxkeys"),
        texts("stxkind"),
        text("stxexprs"),
    ],
);

pub(super) const MATVIEWS: SystemTable = empty(
    "pg_matviews",
    &[
        text("schemaname"),
        text("matviewname"),
        text("matviewowner"),
        text("tablespace"),
        boolean("hasindexes"),
        boolean("ispopulated"),
        text("definition"),
    ],
);

pub(super) const GROUP: SystemTable = empty("pg_group", &[text("groname"), oid("grosysid"), bigints("grolist")]);

pub(super) const PARTITIONED_TABLE: SystemTable = empty(
    "pg_partitioned_table",
    &[
        oid("partrelid"),
        text("partstrat"),
        smallint("partnatts"),
        oid("partdefid"),
        smallints("partattrs"),
        bigints("partclass"),
        bigints("partcollation"),
        text("partexprs"),
    ],
);

pub(super) const EVENT_TRIGGER: SystemTable = empty(
    "pg_event_trigger",
    &[
        oid("oid"),
        text("evtname"),
        text("evtevent"),
        oid("evtowner"),
        oid("evtfoid"),
        text("evtenabled"),
        texts("evttags"),
    ],
);

pub(super) const CAST: SystemTable = empty(
    "pg_cast",
    &[oid("oid"), oid("castsource"), oid("casttarget"), oid("castfunc"), text("castcontext"), text("castmethod")],
);

pub(super) const OPERATOR: SystemTable = empty(
    "pg_operator",
    &[
        oid("oid"),
        text("oprname"),
        oid("oprnamespace"),
        oid("oprowner"),
        text("oprkind"),
        boolean("oprcanmerge"),
        boolean("oprcanhash"),
        oid("oprleft"),
        oid("oprright"),
        oid("oprresult"),
        oid("oprcom"),
        oid("oprnegate"),
        oid("oprcode"),
        oid("oprrest"),
        oid("oprjoin"),
    ],
);

pub(super) const OPCLASS: SystemTable = empty(
    "pg_opclass",
    &[
        oid("oid"),
        oid("opcmethod"),
        text("opcname"),
        oid("opcnamespace"),
        oid("opcowner"),
        oid("opcfamily"),
        oid("opcintype"),
        boolean("opcdefault"),
        oid("opckeytype"),
    ],
);

pub(super) const OPFAMILY: SystemTable =
    empty("pg_opfamily", &[oid("oid"), oid("opfmethod"), text("opfname"), oid("opfnamespace"), oid("opfowner")]);

pub(super) const AMOP: SystemTable = empty(
    "pg_amop",
    &[
        oid("oid"),
        oid("amopfamily"),
        oid("amoplefttype"),
        oid("amoprighttype"),
        smallint("amopstrategy"),
        text("amoppurpose"),
        oid("amopopr"),
        oid("amopmethod"),
        oid("amopsortfamily"),
    ],
);

pub(super) const AMPROC: SystemTable = empty(
    "pg_amproc",
    &[
        oid("oid"),
        oid("amprocfamily"),
        oid("amproclefttype"),
        oid("amprocrighttype"),
        smallint("amprocnum"),
        oid("amproc"),
    ],
);

pub(super) const LARGEOBJECT_METADATA: SystemTable =
    empty("pg_largeobject_metadata", &[oid("oid"), oid("lomowner"), texts("lomacl")]);

pub(super) const TS_CONFIG: SystemTable =
    empty("pg_ts_config", &[oid("oid"), text("cfgname"), oid("cfgnamespace"), oid("cfgowner"), oid("cfgparser")]);

pub(super) const TS_CONFIG_MAP: SystemTable =
    empty("pg_ts_config_map", &[oid("mapcfg"), integer("maptokentype"), integer("mapseqno"), oid("mapdict")]);

pub(super) const TS_DICT: SystemTable = empty(
    "pg_ts_dict",
    &[
        oid("oid"),
        text("dictname"),
        oid("dictnamespace"),
        oid("dictowner"),
        oid("dicttemplate"),
        text("dictinitoption"),
    ],
);

pub(super) const TS_PARSER: SystemTable = empty(
    "pg_ts_parser",
    &[
        oid("oid"),
        text("prsname"),
        oid("prsnamespace"),
        oid("prsstart"),
        oid("prstoken"),
        oid("prsend"),
        oid("prsheadline"),
        oid("prslextype"),
    ],
);

pub(super) const TS_TEMPLATE: SystemTable =
    empty("pg_ts_template", &[oid("oid"), text("tmplname"), oid("tmplnamespace"), oid("tmplinit"), oid("tmpllexize")]);

pub(super) const AGGREGATE: SystemTable = empty(
    "pg_aggregate",
    &[
        oid("aggfnoid"),
        text("aggkind"),
        smallint("aggnumdirectargs"),
        oid("aggtransfn"),
        oid("aggfinalfn"),
        oid("aggcombinefn"),
        oid("aggserialfn"),
        oid("aggdeserialfn"),
        oid("aggmtransfn"),
        oid("aggminvtransfn"),
        oid("aggmfinalfn"),
        boolean("aggfinalextra"),
        boolean("aggmfinalextra"),
        text("aggfinalmodify"),
        text("aggmfinalmodify"),
        oid("aggsortop"),
        oid("aggtranstype"),
        integer("aggtransspace"),
        oid("aggmtranstype"),
        integer("aggmtransspace"),
        text("agginitval"),
        text("aggminitval"),
    ],
);

pub(super) const CONVERSION: SystemTable = empty(
    "pg_conversion",
    &[
        oid("oid"),
        text("conname"),
        oid("connamespace"),
        oid("conowner"),
        integer("conforencoding"),
        integer("contoencoding"),
        oid("conproc"),
        boolean("condefault"),
    ],
);

pub(super) const DEFAULT_ACL: SystemTable = empty(
    "pg_default_acl",
    &[oid("oid"), oid("defaclrole"), oid("defaclnamespace"), text("defaclobjtype"), texts("defaclacl")],
);

pub(super) const DB_ROLE_SETTING: SystemTable =
    empty("pg_db_role_setting", &[oid("setdatabase"), oid("setrole"), texts("setconfig")]);

pub(super) const SHDEPEND: SystemTable = empty(
    "pg_shdepend",
    &[
        oid("dbid"),
        oid("classid"),
        oid("objid"),
        integer("objsubid"),
        oid("refclassid"),
        oid("refobjid"),
        text("deptype"),
    ],
);

pub(super) const SECLABELS: SystemTable = empty(
    "pg_seclabels",
    &[
        oid("objoid"),
        oid("classoid"),
        integer("objsubid"),
        text("objtype"),
        oid("objnamespace"),
        text("objname"),
        text("provider"),
        text("label"),
    ],
);

pub(super) const PREPARED_XACTS: SystemTable = empty(
    "pg_prepared_xacts",
    &[bigint("transaction"), text("gid"), time("prepared"), text("owner"), text("database")],
);

pub(super) const PREPARED_STATEMENTS: SystemTable = empty(
    "pg_prepared_statements",
    &[text("name"), text("statement"), time("prepare_time"), texts("parameter_types"), boolean("from_sql")],
);

pub(super) const CURSORS: SystemTable = empty(
    "pg_cursors",
    &[
        text("name"),
        text("statement"),
        boolean("is_holdable"),
        boolean("is_binary"),
        boolean("is_scrollable"),
        time("creation_time"),
    ],
);

pub(super) const STAT_REPLICATION: SystemTable = empty(
    "pg_stat_replication",
    &[integer("pid"), oid("usesysid"), text("usename"), text("application_name"), text("client_addr"), text("state")],
);

/// No relation is another's part.
pub(super) const INHERITS: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "pg_inherits",
    columns: &[oid("inhrelid"), oid("inhparent"), integer("inhseqno"), boolean("inhdetachpending")],
    rows: |_| vec![],
};

pub(super) const DESCRIPTION: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "pg_description",
    columns: &[oid("objoid"), oid("classoid"), integer("objsubid"), text("description")],
    rows: |_| vec![],
};

pub(super) const SHARED_DESCRIPTION: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "pg_shdescription",
    columns: &[oid("objoid"), oid("classoid"), text("description")],
    rows: |_| vec![],
};

pub(super) const STATS: SystemTable = SystemTable {
    schema_name: PG_CATALOG,
    name: "pg_stats",
    columns: &[
        text("schemaname"),
        text("tablename"),
        text("attname"),
        boolean("inherited"),
        real("null_frac"),
        integer("avg_width"),
        real("n_distinct"),
        texts("most_common_vals"),
        texts("most_common_freqs"),
        texts("histogram_bounds"),
        real("correlation"),
    ],
    rows: |_| vec![],
};
