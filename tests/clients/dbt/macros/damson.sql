{# Damson has no temporary tables: what dbt stages in one is in a table beside the model, which goes when it was used. #}

{% macro postgres__make_temp_relation(base_relation, suffix) %}
  {% do return(base_relation.incorporate(path={"identifier": base_relation.identifier ~ suffix}, type="table")) %}
{% endmacro %}

{% macro postgres__create_table_as(temporary, relation, sql) %}
  {% if temporary %} drop table if exists {{ relation }}; {% endif %}
  create table {{ relation }} as ( {{ sql }} );
{% endmacro %}

{% macro postgres__post_snapshot(staging_relation) %}
  {% do adapter.drop_relation(staging_relation) %}
{% endmacro %}

{% macro drop_temporaries(results) %}
  {% for result in results if result.node.config.materialized == "incremental" %}
    {% do adapter.drop_relation(api.Relation.create(database=result.node.database, schema=result.node.schema,
                                                    identifier=result.node.alias ~ "__dbt_tmp", type="table")) %}
  {% endfor %}
{% endmacro %}
