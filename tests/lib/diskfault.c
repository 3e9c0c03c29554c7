/* A disk that fails on demand, for the end-to-end tests: preloaded into the server, it looks at the
 * file that DISKFAULT_CONTROL names before every call on a database file. A line of that file is
 *
 *     <what> <suffix>
 *
 * where <what> is `full` (writing and growing: ENOSPC), `sync` (fsync and fdatasync: EIO), `read`
 * (reading: EIO), `write` (writing: EIO) or `readonly` (opening for writing: EROFS), and <suffix>
 * is what the path must end in, such as `.db` or `-wal`. Files whose path does not hold
 * DISKFAULT_DB are never touched. DISKFAULT_NO_IPV6 makes the machine one without IPv6. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, CONTROL_BYTES = 512 };

static int ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);

    return n >= m && strcmp(s + n - m, end) == 0;
}

/* Reads without any call that is wrapped below. */
static int control_read(char *text, size_t n)
{
    const char *name = getenv("DISKFAULT_CONTROL");
    long fd, got;

    if (name == NULL)
        return 0;
    fd = syscall(SYS_openat, AT_FDCWD, name, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return 0;
    got = syscall(SYS_read, fd, text, n - 1);
    syscall(SYS_close, fd);
    text[got > 0 ? got : 0] = '\0';
    return got > 0;
}

static int faulty_path(const char *path, const char *what)
{
    const char *db = getenv("DISKFAULT_DB");
    char text[CONTROL_BYTES];
    char *save = NULL;

    if (db == NULL || strstr(path, db) == NULL || !control_read(text, sizeof(text)))
        return 0;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        size_t n = strlen(what);

        if (strncmp(line, what, n) == 0 && line[n] == ' ' && ends_with(path, line + n + 1))
            return 1;
    }
    return 0;
}

static int faulty(int fd, const char *what)
{
    char link[64], path[PATH_BYTES];
    int keep = errno;
    ssize_t n;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof(path) - 1);
    errno = keep;
    if (n < 0)
        return 0;
    path[n] = '\0';
    n = faulty_path(path, what);
    errno = keep;
    return (int)n;
}

#define FAIL_IF(cond, code)                                                                        \
    if (cond) {                                                                                    \
        errno = (code);                                                                            \
        return -1;                                                                                 \
    }

static int writing_fails(int fd)
{
    if (faulty(fd, "full")) {
        errno = ENOSPC;
        return 1;
    }
    if (faulty(fd, "write")) {
        errno = EIO;
        return 1;
    }
    return 0;
}

ssize_t write(int fd, const void *p, size_t n)
{
    return writing_fails(fd) ? -1 : syscall(SYS_write, fd, p, n);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    return writing_fails(fd) ? -1 : syscall(SYS_pwrite64, fd, p, n, at);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at)
{
    return pwrite(fd, p, n, at);
}

int ftruncate(int fd, off_t n)
{
    return writing_fails(fd) ? -1 : (int)syscall(SYS_ftruncate, fd, n);
}

int ftruncate64(int fd, off64_t n)
{
    return ftruncate(fd, n);
}

ssize_t pread(int fd, void *p, size_t n, off_t at)
{
    FAIL_IF(faulty(fd, "read"), EIO);
    return syscall(SYS_pread64, fd, p, n, at);
}

ssize_t pread64(int fd, void *p, size_t n, off64_t at)
{
    return pread(fd, p, n, at);
}

int fsync(int fd)
{
    FAIL_IF(faulty(fd, "sync"), EIO);
    return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    FAIL_IF(faulty(fd, "sync"), EIO);
    return (int)syscall(SYS_fdatasync, fd);
}

static int open_checked(const char *path, int flags, int mode)
{
    FAIL_IF((flags & O_ACCMODE) != O_RDONLY && faulty_path(path, "readonly"), EROFS);
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list ap;
    int mode;

    va_start(ap, flags);
    mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, int) : 0;
    va_end(ap);
    return open_checked(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list ap;
    int mode;

    va_start(ap, flags);
    mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, int) : 0;
    va_end(ap);
    return open_checked(path, flags, mode);
}

int access(const char *path, int mode)
{
    FAIL_IF((mode & W_OK) != 0 && faulty_path(path, "readonly"), EROFS);
    return (int)syscall(SYS_faccessat, AT_FDCWD, path, mode);
}

int socket(int family, int type, int protocol)
{
    FAIL_IF(family == AF_INET6 && getenv("DISKFAULT_NO_IPV6") != NULL, EAFNOSUPPORT);
    return (int)syscall(SYS_socket, family, type, protocol);
}
