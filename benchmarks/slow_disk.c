/* A disk on which nothing is durable before a millisecond has passed: loaded into PostgreSQL's
   processes (LD_PRELOAD), it lets the real fdatasync and fsync do their work, and then waits for the
   rest of the millisecond. Nothing is left out; a faster disk only seems slower. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const long SYNC_NANOSECONDS = 1000000;
static const long SECOND_NANOSECONDS = 1000000000;

static int synced(long call, int descriptor)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += SYNC_NANOSECONDS;
    if (until.tv_nsec >= SECOND_NANOSECONDS) {
        until.tv_nsec -= SECOND_NANOSECONDS;
        until.tv_sec += 1;
    }
    int result = (int)syscall(call, descriptor);
    int failure = errno;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        ;
    errno = failure;
    return result;
}

int fdatasync(int descriptor) { return synced(SYS_fdatasync, descriptor); }
int fsync(int descriptor) { return synced(SYS_fsync, descriptor); }
