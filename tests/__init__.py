"""Tests, one module a subject, on shelves that mirror the packages.

`values`, `query`, `store`, `indexes` and `transfer` test the package `rowkeeper.datasources`, and
`accounts` the package of that name. `engine`, `analysis`, `sandbox`, `access`, `repository` and
`api` test `rowkeeper.rules`. `admin` has the admin's pages of all three, `browser` the tests that
drive a real browser, `docs` those that run the documentation, and `site` the project: settings,
commands, the demo, serving and upgrades. Three shelves hold no tests: `cases` (the specification as
data), `reference` (independent second readings, with random and hostile cases) and `support`
(clients of the API, people, servers, a browser). `faults`, `replica`, `upgrade` and `sift` are
programs that run as processes of their own.
"""
