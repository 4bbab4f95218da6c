// What is asked of PostgreSQL's catalog about the tables that are watched. The catalog is tables as well, so what an
// application has made, its keys, types and triggers, is read by statements like any others.

/**
 * The table that WATCH names ($1): a name in the current schema; or, with a dot, in the schema before it. Where both
 * are there, the table whose own name has the dot counts. Views are found too, so that the refusal can say what they
 * are.
 *
 * `key` and `bytes` are names of columns, those of the key in the sequence of its index. `key_types` is `keyTypes` of
 * `WatchedTable`: of a domain it has the type under it, since a cast to the domain would run its check, which another
 * role may have written. 4 and 5 are the numbers of >= and > among the operators of any B-tree index.
 */
export const FIND_TABLE = `
  SELECT format('%I.%I', nspname, relname) AS relation, relkind AS kind,
    (SELECT json_agg(attname ORDER BY array_position(indkey::int2[], attnum))
      FROM pg_attribute JOIN pg_index ON indrelid = attrelid AND indisprimary AND attnum = ANY (indkey)
      WHERE attrelid = class.oid) AS key,
    (SELECT json_agg(json_build_object('name', format_type(base, -1), 'isPlain', base < 16384 OR typtype = 'e',
          'after', operators->>'5', 'from', operators->>'4') ORDER BY array_position(indkey::int2[], attnum))
      FROM pg_attribute JOIN pg_index ON indrelid = attrelid AND indisprimary AND attnum = ANY (indkey)
        CROSS JOIN LATERAL (WITH RECURSIVE under AS (
          SELECT oid, typbasetype, typtype FROM pg_type WHERE oid = atttypid
          UNION ALL SELECT type.oid, type.typbasetype, type.typtype FROM pg_type AS type JOIN under ON type.oid = under.typbasetype)
          SELECT oid AS base, typtype FROM under WHERE typbasetype = 0) AS bare
        CROSS JOIN LATERAL (
          SELECT json_object_agg(amopstrategy, format('OPERATOR(%I.%s)', space.nspname, oprname)) AS operators
          FROM pg_opclass JOIN pg_amop ON amopfamily = opcfamily AND amoplefttype = opcintype AND amoprighttype = opcintype
            JOIN pg_operator AS operator ON operator.oid = amopopr JOIN pg_namespace AS space ON space.oid = oprnamespace
          WHERE pg_opclass.oid = indclass[array_position(indkey::int2[], attnum)]) AS class_of
      WHERE attrelid = class.oid) AS key_types,
    (SELECT json_agg(attname ORDER BY attnum) FROM pg_attribute
      WHERE attrelid = class.oid AND atttypid = 'bytea'::regtype AND NOT attisdropped) AS bytes
  FROM pg_class AS class JOIN pg_namespace AS namespace ON namespace.oid = relnamespace
  WHERE relkind IN ('r', 'p', 'v', 'm', 'f')
    AND (nspname = current_schema() AND relname = $1 OR nspname || '.' || relname = $1)
  ORDER BY relname = $1 DESC LIMIT 1`;

/**
 * Our triggers, wherever they stand: those that call our function, so a name that another program uses as well is no
 * mistake. A partition's copy of a trigger has a parent and goes with it, so it isn't named. `source` is the argument.
 */
export const FIND_TRIGGERS = `
  SELECT tgname AS name, format('%I.%I', nspname, relname) AS relation, tgenabled AS enabled,
    split_part(encode(tgargs, 'escape'), '\\000', 1) AS source, pg_has_role(relowner, 'USAGE') AS "isOwner"
  FROM pg_trigger JOIN pg_class AS class ON class.oid = tgrelid
    JOIN pg_namespace AS namespace ON namespace.oid = relnamespace
  WHERE tgparentid = 0 AND tgfoid = 'bell.changebell_watch'::regproc`;

/** The table ($1), and each of its partitions, also those of partitions. An ordinary table is alone in it. */
export const FIND_PARTS = `
  SELECT format('%I.%I', nspname, relname) AS relation FROM pg_class AS class
    JOIN pg_namespace AS namespace ON namespace.oid = relnamespace
  WHERE class.oid = $1::regclass OR class.oid IN (SELECT relid FROM pg_partition_tree($1::regclass))`;

/** May we say of this table ($1) what only its owner may: a role that we belong to counts as we do. */
export const IS_OWNER = `SELECT pg_has_role(relowner, 'USAGE') AS "isOwner" FROM pg_class WHERE oid = $1::regclass`;
