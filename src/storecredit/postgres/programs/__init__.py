"""PostgreSQL's own client programs, and what is done with them: copies, dumps, WAL, a terminal."""
