/* Counts the file operations of a process below one folder, and fails or kills at one of them.

   Loaded with LD_PRELOAD; does nothing until fault_arm() is called. Operations are told apart by kind: 1 write,
   2 fsync, 4 rename, 8 open for writing and mkdir, 16 read. The n-th operation of the chosen kinds is the place of
   the fault. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, FSYNC = 2, RENAME = 4, OPEN = 8, READ = 16 };
enum { COUNT, FAIL_ONCE, FAIL_FROM, KILL_BEFORE, KILL_AFTER, KILL_MIDDLE };

static char root[PATH_MAX], shadow[PATH_MAX];
static int kinds, action, code;
static long place, seen;

/* Arm the fault; `below` is an absolute folder. With `copies`, what is forced to the disk is copied there. */
void fault_arm(const char *below, int which, long n, int act, int error, const char *copies) {
    strncpy(root, below, sizeof root - 1);
    strncpy(shadow, copies, sizeof shadow - 1);
    place = n, action = act, code = error;
    __atomic_store_n(&seen, 0, __ATOMIC_SEQ_CST);
    kinds = which;
}

long fault_seen(void) { return __atomic_load_n(&seen, __ATOMIC_SEQ_CST); }

static int inside(const char *path) { return root[0] && strncmp(path, root, strlen(root)) == 0; }

static int held(int descriptor) {
    char link[64], path[PATH_MAX];
    if (!kinds) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    return inside(path);
}

/* What to do with an operation: 0 do it, 1 fail, 2 kill before, 3 kill after, 4 kill in the middle. */
static int verdict(int kind, int mine) {
    if (!mine || !(kinds & kind)) return 0;
    long n = __atomic_add_fetch(&seen, 1, __ATOMIC_SEQ_CST);
    if (action == FAIL_FROM) return n >= place;
    if (action == COUNT || n != place) return 0;
    return action == FAIL_ONCE ? 1 : action - 1;
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

#define REAL(type, name, ...) static type (*real)(__VA_ARGS__); if (!real) real = dlsym(RTLD_NEXT, #name)
#define AROUND(type, kind, mine, call)                    \
    int what = verdict(kind, mine);                       \
    if (what == 1) { errno = code; return -1; }           \
    if (what == 2) die();                                 \
    type result = call;                                   \
    if (what >= 3) die();                                 \
    return result

ssize_t write(int fd, const void *data, size_t n) {
    REAL(ssize_t, write, int, const void *, size_t);
    int what = verdict(WRITE, held(fd));
    if (what == 1) { errno = code; return -1; }
    if (what == 2) die();
    ssize_t done = real(fd, data, what == 4 ? n / 2 : n);
    if (what >= 3) die();
    return done;
}

#define PWRITE(name, offset)                                                  \
    ssize_t name(int fd, const void *data, size_t n, offset at) {             \
        REAL(ssize_t, name, int, const void *, size_t, offset);               \
        int what = verdict(WRITE, held(fd));                                  \
        if (what == 1) { errno = code; return -1; }                           \
        if (what == 2) die();                                                 \
        ssize_t done = real(fd, data, what == 4 ? n / 2 : n, at);             \
        if (what >= 3) die();                                                 \
        return done;                                                          \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t writev(int fd, const struct iovec *v, int n) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    AROUND(ssize_t, WRITE, held(fd), real(fd, v, n));
}
ssize_t sendfile(int out, int in, off_t *at, size_t n) {
    REAL(ssize_t, sendfile, int, int, off_t *, size_t);
    AROUND(ssize_t, WRITE, held(out), real(out, in, at, what == 4 ? n / 2 : n));
}
ssize_t sendfile64(int out, int in, off64_t *at, size_t n) {
    REAL(ssize_t, sendfile64, int, int, off64_t *, size_t);
    AROUND(ssize_t, WRITE, held(out), real(out, in, at, what == 4 ? n / 2 : n));
}
ssize_t copy_file_range(int in, off64_t *a, int out, off64_t *b, size_t n, unsigned flags) {
    REAL(ssize_t, copy_file_range, int, off64_t *, int, off64_t *, size_t, unsigned);
    AROUND(ssize_t, WRITE, held(out), real(in, a, out, b, n, flags));
}
int ftruncate(int fd, off_t n) {
    REAL(int, ftruncate, int, off_t);
    AROUND(int, WRITE, held(fd), real(fd, n));
}
int ftruncate64(int fd, off64_t n) {
    REAL(int, ftruncate64, int, off64_t);
    AROUND(int, WRITE, held(fd), real(fd, n));
}

/* Remember the file as it is on the disk: a copy named by its inode. */
static void keep(int fd) {
    struct stat about;
    char from[64], to[PATH_MAX + 32], block[1 << 16];
    if (!shadow[0] || !held(fd) || fstat(fd, &about) || !S_ISREG(about.st_mode)) return;
    static ssize_t (*put)(int, const void *, size_t);
    if (!put) put = dlsym(RTLD_NEXT, "write");
    snprintf(from, sizeof from, "/proc/self/fd/%d", fd);
    snprintf(to, sizeof to, "%s/%lu", shadow, (unsigned long)about.st_ino);
    int which = kinds;
    kinds = 0;
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    for (ssize_t n; in >= 0 && out >= 0 && (n = read(in, block, sizeof block)) > 0;)
        if (put(out, block, n) != n) break;
    if (in >= 0) close(in);
    if (out >= 0) close(out);
    kinds = which;
}
static int synced(int fd, int result) {
    if (result == 0) keep(fd);
    return result;
}
int fsync(int fd) {
    REAL(int, fsync, int);
    AROUND(int, FSYNC, held(fd), synced(fd, real(fd)));
}
int fdatasync(int fd) {
    REAL(int, fdatasync, int);
    AROUND(int, FSYNC, held(fd), synced(fd, real(fd)));
}
int rename(const char *from, const char *to) {
    REAL(int, rename, const char *, const char *);
    AROUND(int, RENAME, inside(to), real(from, to));
}
int renameat(int a, const char *from, int b, const char *to) {
    REAL(int, renameat, int, const char *, int, const char *);
    AROUND(int, RENAME, inside(to), real(a, from, b, to));
}
int mkdir(const char *path, mode_t mode) {
    REAL(int, mkdir, const char *, mode_t);
    AROUND(int, OPEN, inside(path), real(path, mode));
}

#define WRITING(flags) ((flags) & (O_CREAT | O_WRONLY | O_RDWR))
#define OPENS(name)                                                           \
    int name(const char *path, int flags, ...) {                              \
        REAL(int, name, const char *, int, ...);                              \
        va_list rest;                                                         \
        va_start(rest, flags);                                                \
        mode_t mode = va_arg(rest, mode_t);                                   \
        va_end(rest);                                                         \
        AROUND(int, OPEN, WRITING(flags) && inside(path), real(path, flags, mode)); \
    }
OPENS(open)
OPENS(open64)
#define OPENATS(name)                                                         \
    int name(int at, const char *path, int flags, ...) {                      \
        REAL(int, name, int, const char *, int, ...);                         \
        va_list rest;                                                         \
        va_start(rest, flags);                                                \
        mode_t mode = va_arg(rest, mode_t);                                   \
        va_end(rest);                                                         \
        AROUND(int, OPEN, WRITING(flags) && inside(path), real(at, path, flags, mode)); \
    }
OPENATS(openat)
OPENATS(openat64)

ssize_t read(int fd, void *data, size_t n) {
    REAL(ssize_t, read, int, void *, size_t);
    AROUND(ssize_t, READ, (kinds & READ) && held(fd), real(fd, data, n));
}
ssize_t pread(int fd, void *data, size_t n, off_t at) {
    REAL(ssize_t, pread, int, void *, size_t, off_t);
    AROUND(ssize_t, READ, (kinds & READ) && held(fd), real(fd, data, n, at));
}
ssize_t pread64(int fd, void *data, size_t n, off64_t at) {
    REAL(ssize_t, pread64, int, void *, size_t, off64_t);
    AROUND(ssize_t, READ, (kinds & READ) && held(fd), real(fd, data, n, at));
}
