"""What a model might be talked into: SQL that must not pass, by the dialects it is said in."""

from __future__ import annotations

EVERYWHERE = """
SELECT * FROM salaries
SELECT password FROM customers
SELECT c.password FROM customers c
SELECT customers.* , salaries.amount FROM customers JOIN salaries ON true
SELECT 1; DROP TABLE customers
SELECT 1; SELECT 2
SELECT 1 FROM customers; --
; SELECT 1 FROM customers; DELETE FROM orders
DELETE FROM customers
UPDATE customers SET name = 'x'
INSERT INTO customers (id) VALUES (9)
INSERT INTO orders SELECT * FROM orders
DROP TABLE customers
ALTER TABLE customers ADD COLUMN x INTEGER
CREATE TABLE mine AS SELECT * FROM customers
CREATE VIEW v AS SELECT 1
TRUNCATE TABLE customers
GRANT ALL ON customers TO bob
SET search_path TO secret
BEGIN
COMMIT
EXPLAIN SELECT * FROM salaries
CALL refund(1)
WITH x AS (DELETE FROM customers RETURNING *) SELECT * FROM x
WITH x AS (UPDATE customers SET name = 'x' RETURNING *) SELECT * FROM x
WITH x AS (INSERT INTO customers (id) VALUES (9) RETURNING *) SELECT * FROM x
WITH x AS (SELECT 1) DELETE FROM customers
WITH salaries AS (SELECT 1 AS amount) SELECT * FROM (SELECT amount FROM salaries) s, main.salaries t
SELECT * FROM (WITH salaries AS (SELECT 1 AS a) SELECT * FROM salaries) z, salaries
WITH x AS (SELECT * FROM salaries) SELECT * FROM x
WITH x AS (SELECT * FROM y), y AS (SELECT * FROM salaries) SELECT * FROM x
WITH customers AS (SELECT password FROM customers) SELECT * FROM customers
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n FROM r
WITH r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n FROM r
SELECT name FROM customers UNION SELECT name FROM salaries
SELECT name FROM customers UNION ALL SELECT password FROM customers
SELECT name FROM customers EXCEPT SELECT name FROM salaries
SELECT name FROM customers WHERE id IN (SELECT customer_id FROM salaries)
SELECT name FROM customers WHERE EXISTS (SELECT 1 FROM salaries WHERE amount > 5)
SELECT name FROM customers WHERE password LIKE 'a%'
SELECT name FROM customers ORDER BY password
SELECT count(*) FROM customers GROUP BY password
SELECT count(*) FROM customers HAVING max(password) > 'a'
SELECT (SELECT password FROM customers LIMIT 1)
SELECT (SELECT max(amount) FROM salaries s WHERE s.customer_id = c.id) FROM customers c
SELECT name FROM customers JOIN orders ON customers.password = orders.note
SELECT 1 FROM customers JOIN salaries USING (name)
SELECT * FROM customers NATURAL JOIN orders
SELECT CASE WHEN password = 'x' THEN 1 END FROM customers
SELECT row_number() OVER (ORDER BY password) FROM customers
SELECT count(*) FILTER (WHERE password = 'x') FROM customers
SELECT coalesce(password, '') FROM customers
SELECT x FROM customers AS c(a, b, d, x)
SELECT name FROM customers LIMIT (SELECT max(amount) FROM salaries)
SELECT name FROM customers FOR UPDATE
SELECT name FROM customers FOR SHARE
SELECT name INTO mine FROM customers
SELECT version() FROM customers
SELECT current_user FROM customers
SELECT session_user FROM customers
SELECT user() FROM customers
SELECT database() FROM customers
SELECT sleep(10) FROM customers
SELECT pg_sleep(10) FROM customers
SELECT load_extension('x') FROM customers
SELECT load_file('/etc/passwd') FROM customers
SELECT readfile('/etc/passwd') FROM customers
SELECT my_function(id) FROM customers
SELECT randomblob(1000000000) FROM customers
SELECT repeat('x', 1000000000) FROM customers
SELECT lpad('x', 1000000000, 'y') FROM customers
SELECT * FROM generate_series(1, 1000000000)
SELECT * FROM information_schema.tables
SELECT * FROM pg_catalog.pg_shadow
SELECT * FROM pg_shadow
SELECT * FROM sqlite_master
SELECT * FROM main.sqlite_master
SELECT * FROM temp.customers
SELECT * FROM mysql.user
SELECT * FROM other.customers
SELECT * FROM a.b.customers
SELECT ? FROM customers
SELECT :name FROM customers
SELECT name FROM customers TABLESAMPLE SYSTEM (1)
SELECT _clawdbot_t0.name FROM customers
SELECT * FROM _clawdbot_0
WITH _clawdbot_t0 AS (SELECT 1 AS a) SELECT a FROM _clawdbot_t0
SELECT name /*! , password */ FROM /*!50000 salaries */ customers
SELECT /*+ SET_VAR(sql_mode='') */ name FROM customers
SELECT name FROM customers PROCEDURE ANALYSE()
SELECT name FROM customers WHERE
SELECT
nonsense
SELECT name FROM customers WHERE name = 'it
VALUES (1)
SELECT name FROM customers CROSS JOIN LATERAL unnest(array[1]) u
"""

POSTGRESQL = """
SELECT pg_read_file('/etc/passwd')
SELECT pg_catalog.pg_read_file('/etc/passwd')
SELECT "pg_catalog"."pg_read_file"('/etc/passwd')
SELECT * FROM pg_read_file('/etc/passwd')
SELECT * FROM pg_catalog.pg_ls_dir('/')
SELECT lo_import('/etc/passwd')
SELECT lo_get(1)
SELECT * FROM dblink('host=x', 'SELECT 1') AS t(a int)
SELECT set_config('transaction_read_only', 'off', false)
SELECT current_setting('data_directory')
SELECT query_to_xml('SELECT * FROM salaries', true, true, '')
SELECT table_to_xml('salaries', true, true, '')
SELECT database_to_xml(true, true, '')
SELECT xmlparse(document '<a/>')
SELECT 'salaries'::regclass
SELECT CAST('salaries' AS regclass)
SELECT 1::oid
SELECT name::xml FROM customers
SELECT c FROM customers c
SELECT (c).password FROM customers c
SELECT (customers.*).password FROM customers
SELECT row_to_json(c) FROM customers c
SELECT to_jsonb(c) FROM customers c
SELECT c::text FROM customers c
SELECT count(c) FROM customers c
SELECT ctid FROM customers
SELECT tableoid FROM customers
SELECT xmin FROM customers
SELECT customers.pg_sleep FROM customers
SELECT c.row_to_json FROM customers c
SELECT 1 OPERATOR(pg_catalog.+) 1
SELECT name COLLATE "C" FROM customers
SELECT * FROM ONLY customers
SELECT * FROM customers, LATERAL pg_ls_dir('/') x
SELECT * FROM ROWS FROM (generate_series(1, 5)) x
SELECT * FROM customers c, LATERAL (SELECT amount FROM salaries) x
SELECT $1
SELECT pg_advisory_lock(1)
SELECT pg_terminate_backend(1)
SELECT nextval('s')
SELECT pg_notify('a', 'b')
SELECT txid_current()
SELECT inet_server_addr()
SELECT random() FROM customers
SELECT gen_random_uuid()
SELECT ts_stat('SELECT password FROM customers')
SELECT cursor_to_xml('c', 1, true, true, '')
SELECT E'\\x27; DROP TABLE customers; --'
SELECT U&'\\0027; DROP'
SELECT name FROM customers WHERE name ~ '(a+)+$'
SELECT regexp_replace(name, '(a+)+', '') FROM customers
SELECT name FROM customers FETCH FIRST 5 ROWS WITH TIES
SELECT name FROM customers FETCH FIRST 50 PERCENT ROWS ONLY
TABLE salaries
COPY customers TO '/tmp/x'
COPY (SELECT 1) TO PROGRAM 'id'
DO $$ BEGIN END $$
LISTEN x
SHOW data_directory
PREPARE p AS SELECT 1
DECLARE c CURSOR FOR SELECT 1
VACUUM
REFRESH MATERIALIZED VIEW v
SELECT * FROM json_populate_record(null::salaries, '{}')
SELECT * FROM xmltable('/a' passing '<a/>' columns b text)
MERGE INTO customers USING orders ON true WHEN MATCHED THEN DELETE
"""

MYSQL = """
SELECT @@version
SELECT @@global.secure_file_priv
SELECT @a := 1
SELECT @a
SELECT name FROM customers INTO OUTFILE '/tmp/x'
SELECT name FROM customers INTO DUMPFILE '/tmp/x'
SELECT name FROM customers INTO @a
SELECT BENCHMARK(1000000000, SHA1('x'))
SELECT GET_LOCK('a', 10)
SELECT LOAD_FILE('/etc/passwd')
SELECT LAST_INSERT_ID(5)
SELECT UPDATEXML(1, CONCAT(0x7e, 1), 1)
SELECT EXTRACTVALUE(1, CONCAT(0x7e, 1))
SELECT MASTER_POS_WAIT('x', 1)
SELECT CONNECTION_ID()
SELECT name FROM customers LOCK IN SHARE MODE
SELECT SQL_CALC_FOUND_ROWS name FROM customers
SELECT SQL_NO_CACHE name FROM customers
SELECT name FROM customers PARTITION (p0)
SELECT name FROM customers USE INDEX (x)
SELECT name FROM customers FORCE INDEX (x)
SELECT _utf8'x' FROM customers
SELECT name FROM customers WHERE MATCH (name) AGAINST ('x')
SELECT name REGEXP '(a+)+$' FROM customers
SELECT name FROM customers WHERE name = 'a\\' OR 1=1 -- ' UNION SELECT amount FROM salaries
SELECT JSON_TABLE('[]', '$' COLUMNS (a INT PATH '$')) FROM customers
SELECT * FROM JSON_TABLE('[]', '$' COLUMNS (a INT PATH '$')) t
SELECT CONVERT(name USING latin1) FROM customers
SELECT VALUES(name) FROM customers
HANDLER customers OPEN
LOAD DATA INFILE 'x' INTO TABLE customers
SHOW TABLES
DESCRIBE salaries
DESC salaries
USE mysql
KILL 1
SET GLOBAL general_log = 1
TABLE salaries
"""

SQLITE = """
SELECT writefile('/tmp/x', 'x')
SELECT edit('x')
SELECT fts3_tokenizer('x')
SELECT zeroblob(1000000000)
SELECT printf('%1000000000s', 'x')
SELECT format('%1000000000s', 'x')
SELECT hex(zeroblob(100000000))
SELECT rowid FROM customers
SELECT _rowid_ FROM customers
SELECT oid FROM customers
SELECT "password" FROM customers
SELECT [password] FROM customers
SELECT `password` FROM customers
SELECT * FROM pragma_table_info('customers')
SELECT * FROM pragma_database_list
SELECT * FROM json_each('[1]')
SELECT * FROM dbstat
SELECT * FROM customers INDEXED BY x
SELECT name FROM customers WHERE name MATCH 'x'
SELECT name FROM customers WHERE name GLOB '*'
SELECT sqlite_version()
SELECT sqlite_compileoption_get(1)
SELECT total_changes()
SELECT random()
SELECT likelihood(password, 0.5) FROM customers
SELECT name FROM customers COLLATE nocase
ATTACH DATABASE '/tmp/x' AS x
DETACH DATABASE main
PRAGMA table_info(customers)
PRAGMA writable_schema = 1
VACUUM INTO '/tmp/x'
REPLACE INTO customers VALUES (1)
REINDEX
ANALYZE
"""


def cases() -> list[tuple[str, str]]:
    """(dialect, SQL)."""
    own = {"sqlite": SQLITE, "postgresql": POSTGRESQL, "mysql": MYSQL}
    return [
        (dialect, line.replace("\\\\", "\\"))
        for dialect, text in own.items()
        for line in (*EVERYWHERE.strip().splitlines(), *text.strip().splitlines())
    ]
