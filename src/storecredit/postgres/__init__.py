"""The only room that knows the PostgreSQL driver, the migration tool and the job queue.

Other rooms speak to the database through `pool.Database`, `group_commit.GroupCommit`,
`job_queue.JobQueue` and `listener.Listener`.
"""
