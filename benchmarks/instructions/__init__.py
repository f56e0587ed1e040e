"""Instructions per request, of this build and of another: what a busy machine does not change."""
