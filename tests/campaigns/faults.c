/* Counts the calls that change files below a directory, and at the n-th kills the process, or fails.

   Loaded before all other libraries (LD_PRELOAD), armed from Python. Kinds: 1 SIGKILL before the call is
   made; 2 this call fails with EIO; 3 this and all later calls that need room fail with ENOSPC. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static char root[4096];
static long count, at;
static int kind;

void fault_arm(const char *directory, long n, int what) {
    strncpy(root, directory, sizeof root - 1);
    count = 0, at = n, kind = what;
}

long fault_count(void) { return count; }

static int below(const char *path) {
    return *root && path && strncmp(path, root, strlen(root)) == 0;
}

static int is_below(int fd) {
    char link[64], path[4096];
    if (!*root) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return below(path);
}

/* Whether the call must fail, with errno set; does not come back where it is a kill. */
static int fails(int needs_room) {
    long n = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
    if (kind == 3 && at && n >= at && needs_room) return errno = ENOSPC, 1;
    if (n != at) return 0;
    if (kind == 1) kill(getpid(), SIGKILL);
    if (kind == 2) return errno = EIO, 1;
    return 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *b, size_t n) {
    return is_below(fd) && fails(1) ? -1 : REAL(write)(fd, b, n);
}
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t o) {
    return is_below(fd) && fails(1) ? -1 : REAL(pwrite64)(fd, b, n, o);
}
ssize_t pwrite(int fd, const void *b, size_t n, off_t o) {
    return is_below(fd) && fails(1) ? -1 : REAL(pwrite)(fd, b, n, o);
}
int fsync(int fd) { return is_below(fd) && fails(0) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return is_below(fd) && fails(0) ? -1 : REAL(fdatasync)(fd); }
int ftruncate64(int fd, off64_t n) { return is_below(fd) && fails(1) ? -1 : REAL(ftruncate64)(fd, n); }
int ftruncate(int fd, off_t n) { return is_below(fd) && fails(1) ? -1 : REAL(ftruncate)(fd, n); }
int rename(const char *a, const char *b) { return below(b) && fails(1) ? -1 : REAL(rename)(a, b); }
int unlink(const char *p) { return below(p) && fails(0) ? -1 : REAL(unlink)(p); }
int mkdir(const char *p, mode_t m) { return below(p) && fails(1) ? -1 : REAL(mkdir)(p, m); }

static int makes(const char *path, int flags) {
    return (flags & O_CREAT) && below(path) && access(path, F_OK) != 0;
}
#define OPENING(name)                                                                       \
    int name(const char *path, int flags, ...) {                                            \
        va_list rest;                                                                       \
        va_start(rest, flags);                                                              \
        mode_t mode = (flags & O_CREAT) ? va_arg(rest, mode_t) : 0;                         \
        va_end(rest);                                                                       \
        return makes(path, flags) && fails(1) ? -1 : REAL(name)(path, flags, mode);         \
    }
OPENING(open)
OPENING(open64)
