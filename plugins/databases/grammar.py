"""What a query may be made of: kinds of nodes, functions and types. Everything that is not named here is refused, so
what a parser learns in a later version is too.

Names are those of `sqlglot.expressions`. Functions that read files, reach other servers, sleep, change settings or
sessions, run text as SQL, or make very large values out of small ones are not here; nor are user, version and other
facts about the server."""

from __future__ import annotations

from typing import Final

from sqlglot import exp

QUERIES: Final = (exp.Select, exp.SetOperation)

_STRUCTURE: Final = (
    exp.Select, exp.Union, exp.Except, exp.Intersect, exp.Subquery, exp.With, exp.CTE, exp.From, exp.Join, exp.Lateral,
    exp.Table, exp.TableAlias, exp.Alias, exp.Identifier, exp.Column, exp.Star, exp.Where, exp.Group, exp.Having,
    exp.Order, exp.Ordered, exp.Limit, exp.Fetch, exp.LimitOptions, exp.Offset, exp.Distinct, exp.Window,
    exp.WindowSpec, exp.Filter, exp.WithinGroup, exp.Cube, exp.Rollup, exp.GroupingSets,
)  # fmt: skip
_VALUES: Final = (
    exp.Literal, exp.Null, exp.Boolean, exp.Paren, exp.Tuple, exp.Interval, exp.Var, exp.DataType, exp.DataTypeParam,
    exp.IntervalSpan,
)  # fmt: skip
_OPERATORS: Final = (
    exp.And, exp.Or, exp.Xor, exp.Not, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ,
    exp.NullSafeNEQ, exp.Is, exp.In, exp.Between, exp.Like, exp.ILike, exp.Escape, exp.Exists, exp.Any, exp.All,
    exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.Neg, exp.DPipe, exp.Case, exp.If, exp.Cast,
    exp.AtTimeZone,
)  # fmt: skip
_AGGREGATES: Final = (
    "Count", "CountIf", "Sum", "Avg", "Min", "Max", "Stddev", "StddevPop", "StddevSamp", "Variance", "VariancePop",
    "Corr", "CovarPop", "CovarSamp", "PercentileCont", "PercentileDisc", "Mode", "Median", "ArrayAgg", "GroupConcat",
    "LogicalAnd", "LogicalOr", "Grouping", "RowNumber", "Rank", "DenseRank", "PercentRank", "CumeDist", "Ntile", "Lag",
    "Lead", "FirstValue", "LastValue", "NthValue",
)  # fmt: skip
_SCALARS: Final = (
    "Abs", "Ceil", "Floor", "Round", "Trunc", "Sqrt", "Cbrt", "Pow", "Exp", "Ln", "Log", "Sign", "Greatest", "Least",
    "Lower", "Upper", "Initcap", "Length", "Trim", "Substring", "Left", "Right", "Concat", "ConcatWs", "Replace",
    "StrPosition", "SplitPart", "Reverse", "Coalesce", "Nullif", "JSONExtract", "JSONExtractScalar", "JSONPath",
    "JSONPathRoot", "JSONPathKey", "JSONPathSubscript",
)  # fmt: skip
_TIMES: Final = (
    "CurrentDate", "CurrentTime", "CurrentTimestamp", "Date", "DateTrunc", "TimestampTrunc", "DateAdd", "DateSub",
    "DateDiff", "TimestampAdd", "TimestampSub", "TimestampDiff", "Extract", "Year", "Quarter", "Month", "Week",
    "WeekOfYear", "Day", "DayOfMonth", "DayOfWeek", "DayOfYear", "Dayname", "Monthname", "Hour", "Minute", "Second",
    "LastDay", "TimeToStr", "TsOrDsToDate", "TsOrDsToTimestamp", "TsOrDsToTime", "TsOrDsAdd", "TsOrDsDiff", "ToChar",
    "StrToDate", "StrToTime", "UnixToTime", "TimeToUnix", "MakeInterval", "DateFromParts", "Time", "Datetime",
)  # fmt: skip

NODES: Final = frozenset(
    (*_STRUCTURE, *_VALUES, *_OPERATORS)
    + tuple(getattr(exp, name) for name in (*_AGGREGATES, *_SCALARS, *_TIMES) if hasattr(exp, name))
)

FUNCTIONS: Final[dict[str, frozenset[str]]] = {
    "sqlite": frozenset(
        ("date", "time", "datetime", "julianday", "unixepoch", "strftime", "instr", "substr", "total", "ifnull",
         "iif", "round", "min", "max", "abs", "typeof", "now")
    ),
    "postgresql": frozenset(
        ("now", "date_part", "age", "to_date", "to_timestamp", "to_number", "make_date", "btrim", "ltrim", "rtrim",
         "position", "char_length", "div", "mod", "bool_and", "bool_or", "every", "regr_slope", "regr_r2",
         "width_bucket")
    ),
    "mysql": frozenset(
        ("now", "curdate", "curtime", "instr", "locate", "ltrim", "rtrim", "char_length", "truncate", "weekday",
         "yearweek", "to_days", "dayname", "monthname", "period_diff", "datediff", "makedate", "any_value", "mod",
         "unix_timestamp", "from_unixtime")
    ),
}  # fmt: skip
"""By name, of those the parser has no kind of node for."""

_TYPES: Final = (
    "BOOLEAN", "TINYINT", "SMALLINT", "INT", "BIGINT", "MEDIUMINT", "UINT", "UBIGINT", "DECIMAL", "FLOAT", "DOUBLE",
    "CHAR", "NCHAR", "VARCHAR", "NVARCHAR", "TEXT", "DATE", "TIME", "TIMETZ", "DATETIME", "TIMESTAMP", "TIMESTAMPTZ",
    "TIMESTAMPNTZ", "TIMESTAMPLTZ", "INTERVAL", "UUID", "YEAR",
)  # fmt: skip
TYPES: Final = frozenset(getattr(exp.DType, name) for name in _TYPES if hasattr(exp.DType, name))

_QUERY: Final = frozenset(("with_", "limit", "offset", "order"))
ARGUMENTS: Final[dict[type[exp.Expr], frozenset[str]]] = {
    exp.Select: _QUERY | {"expressions", "distinct", "from_", "joins", "where", "group", "having"},
    exp.Union: _QUERY | {"this", "expression", "distinct"},
    exp.Except: _QUERY | {"this", "expression", "distinct"},
    exp.Intersect: _QUERY | {"this", "expression", "distinct"},
    exp.Subquery: frozenset(("this", "alias")),
    exp.With: frozenset(("expressions",)),
    exp.CTE: frozenset(("this", "alias", "materialized")),
    exp.Table: frozenset(("this", "alias", "db")),
    exp.TableAlias: frozenset(("this", "columns")),
    exp.Join: frozenset(("this", "on", "side", "kind", "using", "method")),
    exp.Lateral: frozenset(("this", "alias")),
    exp.Star: frozenset(),
    exp.Column: frozenset(("this", "table", "db")),
    exp.Identifier: frozenset(("this", "quoted")),
    exp.Limit: frozenset(("expression",)),
    exp.Offset: frozenset(("expression",)),
    exp.Fetch: frozenset(("direction", "count", "limit_options")),
    exp.LimitOptions: frozenset(("rows",)),
    exp.DataType: frozenset(("this", "expressions", "nested")),
    exp.Cast: frozenset(("this", "to")),
    exp.Group: frozenset(("expressions", "cube", "rollup", "grouping_sets")),
    exp.In: frozenset(("this", "expressions", "query")),
    exp.Ordered: frozenset(("this", "desc", "nulls_first")),
}
"""Of these kinds, what may be said: the parts that tables, rows and output come through."""
