-- What the build before looks for in `public`, wherever the interface is: it finds a row, and is refused;
-- whoever else looks finds none.
CREATE OR REPLACE VIEW {schema}.storecredit_schema AS
SELECT refuse_earlier_build() AS migration, '' AS fingerprint
WHERE current_setting('application_name') = 'storecredit';
COMMENT ON VIEW {schema}.storecredit_schema IS
    'Keeps a process of an earlier build from making tables of its own here.';
