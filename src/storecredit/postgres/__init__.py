"""The only room that knows the PostgreSQL driver and the job queue.

Other rooms open the database with `opening.open_database`, and speak to it through `pool.Database`,
`group_commit.GroupCommit`, `job_queue.JobQueue` and `listener.Listener`. What can go wrong is in
`errors`.
"""
