"""SQL that good models write, by the dialects it is said in; with how many rows it has of the shop, where all say the
same."""

from __future__ import annotations

EVERYWHERE = {
    "SELECT * FROM customers": 3,
    "select c.* from customers c;": 3,
    "SELECT c.name, o.total FROM customers c JOIN orders o ON o.customer_id = c.id": 4,
    "SELECT c.name, SUM(o.total) AS total FROM customers c LEFT JOIN orders o ON o.customer_id = c.id "
    "GROUP BY c.name ORDER BY total DESC LIMIT 2": 2,
    "SELECT COUNT(*) FROM orders WHERE total > 5 AND note IS NOT NULL": 1,
    "SELECT customer_id, COUNT(*) AS n FROM orders GROUP BY 1 HAVING COUNT(*) > 1": 1,
    "SELECT DISTINCT city FROM customers WHERE city IN ('Paris', '北京')": 2,
    "SELECT name FROM customers WHERE id IN (SELECT customer_id FROM orders WHERE total > 50)": 1,
    "SELECT name FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id AND o.total > 50)": 1,
    "SELECT name, (SELECT MAX(total) FROM orders o WHERE o.customer_id = c.id) AS best FROM customers c": 3,
    "WITH big AS (SELECT * FROM orders WHERE total > 9) "
    "SELECT c.name FROM customers c JOIN big ON big.customer_id = c.id": 3,
    "WITH a AS (SELECT id FROM customers), b AS (SELECT * FROM a WHERE id > 1) SELECT COUNT(*) FROM b": 1,
    "WITH orders AS (SELECT * FROM orders WHERE total > 50) SELECT * FROM orders": 1,
    "SELECT name FROM customers UNION ALL SELECT note FROM orders": 7,
    "SELECT id FROM customers INTERSECT SELECT customer_id FROM orders": 3,
    "SELECT id FROM orders EXCEPT SELECT id FROM customers": 1,
    "SELECT name FROM (SELECT name, city FROM customers) t WHERE city LIKE '%o%'": 1,
    "SELECT id FROM customers JOIN orders USING (id)": 3,
    "SELECT CASE WHEN total > 50 THEN 'big' ELSE 'small' END AS size, COUNT(*) AS n FROM orders GROUP BY size": 2,
    "SELECT COALESCE(note, '-') AS note, UPPER(note) AS up, LENGTH(note) AS len FROM orders": 4,
    "SELECT ROUND(AVG(total), 2) AS mean FROM orders": 1,
    "SELECT id, ROW_NUMBER() OVER (PARTITION BY customer_id ORDER BY total DESC) AS place FROM orders": 4,
    "SELECT SUM(total) OVER (ORDER BY placed ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS s FROM orders": 4,
    "SELECT placed FROM orders WHERE placed BETWEEN '2026-02-01' AND '2026-02-28' ORDER BY placed": 2,
    "SELECT CAST(total AS DECIMAL(8, 1)) AS t FROM orders": 4,
    "SELECT title FROM Items WHERE OrderId = 1": 1,
    "SELECT i.title, c.name FROM items i JOIN orders o ON o.id = i.orderid JOIN customers c ON c.id = o.customer_id": 3,
    "SELECT name AS \n n FROM customers -- who\n ORDER BY n": 3,
    "SELECT name /* who */ FROM customers": 3,
    "(SELECT name FROM customers)": 3,
    "SELECT note FROM orders WHERE note = 'it''s \"ok\"'": 1,
    "SELECT name FROM customers WHERE name = 'a'' OR 1=1 --'": 0,
    "SELECT name FROM customers ORDER BY id LIMIT 1 OFFSET 1": 1,
    "SELECT name FROM customers LIMIT 100000": 3,
    "SELECT a.name FROM customers a, customers b WHERE a.id < b.id": 3,
    "SELECT note FROM orders WHERE note LIKE '100\\% off%'": None,
    "SELECT 'password' AS word FROM customers": 3,
    "SELECT 1 AS one": 1,
}  # fmt: skip

OWN = {
    "sqlite": {
        "SELECT strftime('%Y-%m', placed) AS month, SUM(total) AS t FROM orders GROUP BY month ORDER BY month": 3,
        "SELECT * FROM orders WHERE placed >= date('2026-02-01')": 3,
        "SELECT name || ' ' || city AS who FROM customers": 3,
        'SELECT "OrderId" FROM "Items"': 3,
        "SELECT substr(name, 1, 1) AS first FROM customers": 3,
        "SELECT julianday(placed) AS j FROM orders": 4,
        "SELECT main.customers.name FROM main.customers": 3,
    },
    "postgresql": {
        "SELECT date_trunc('month', placed) AS month, sum(total) FROM orders GROUP BY 1 ORDER BY 1": 3,
        "SELECT EXTRACT(YEAR FROM placed) AS y, COUNT(*) FROM orders GROUP BY EXTRACT(YEAR FROM placed)": 1,
        "SELECT name FROM public.customers WHERE city ILIKE 'par%'": 1,
        "SELECT to_char(placed, 'YYYY-MM') AS m, SUM(total)::numeric(10,1) AS t FROM orders GROUP BY m": 3,
        "SELECT * FROM orders WHERE placed >= DATE '2026-02-01' AND placed < CURRENT_DATE + INTERVAL '100 years'": 3,
        "SELECT string_agg(name, ', ' ORDER BY name) AS names FROM customers": 1,
        "SELECT DISTINCT ON (customer_id) customer_id, total FROM orders ORDER BY customer_id, total DESC": 3,
        "SELECT COUNT(*) FILTER (WHERE total > 5) AS n FROM orders": 1,
        "SELECT c.name, x.total FROM customers c, LATERAL (SELECT total FROM orders o WHERE o.customer_id = c.id "
        "ORDER BY total DESC LIMIT 1) x": 3,
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY total) AS median FROM orders": 1,
        "SELECT name FROM customers ORDER BY name FETCH FIRST 2 ROWS ONLY": 2,
        'SELECT "OrderId" FROM "Items"': 3,
        "SELECT array_agg(id ORDER BY id) AS ids FROM customers": 1,
        "SELECT customer_id, SUM(total) AS t FROM orders GROUP BY ROLLUP (customer_id)": 4,
        "SELECT name FROM customers WHERE id = ANY (SELECT customer_id FROM orders WHERE total > 50)": 1,
        "SELECT now() AT TIME ZONE 'UTC' AS t": 1,
        "SELECT total FROM orders ORDER BY total DESC NULLS LAST LIMIT 1": 1,
    },
    "mysql": {
        "SELECT DATE_FORMAT(placed, '%Y-%m') AS month, SUM(total) AS t FROM orders GROUP BY month": None,
        "SELECT YEAR(placed) AS y FROM orders WHERE placed > DATE_SUB(NOW(), INTERVAL 1 MONTH)": None,
        "SELECT GROUP_CONCAT(name ORDER BY name SEPARATOR ', ') AS names FROM customers": None,
        "SELECT IF(total > 50, 'big', 'small') AS size FROM orders": None,
        "SELECT CONCAT(name, ' ', city) AS who FROM `customers`": None,
        "SELECT DATEDIFF(NOW(), placed) AS days FROM orders": None,
        "SELECT IFNULL(note, '-') AS n FROM orders LIMIT 5, 10": None,
        "SELECT TIMESTAMPDIFF(DAY, placed, NOW()) AS d FROM orders": None,
    },
}  # fmt: skip


def cases() -> list[tuple[str, str, int | None]]:
    """(dialect, SQL, rows)."""
    return [(dialect, sql, rows) for dialect, own in OWN.items() for sql, rows in {**EVERYWHERE, **own}.items()]
