"""`/api/trpc`: what end users' apps call, in the form of tRPC's client."""
