/* Lets the n-th write below one folder fail as on a full disk, and all after it; loaded before libc.
 *
 * TUNE_FULL_DISK names a file that is mapped by all processes: see struct control, which full_disk.py fills.
 * Calls that make, lengthen, flush or rename a file are counted; those that read or remove one are not.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct control {
    long count;    /* writes so far */
    long fail_at;  /* number of the first that fails, 0 for none */
    long last;     /* number of the last that fails */
    long failed;   /* how many have failed */
    char place[2048];
    char what[2048]; /* call and file of the first that failed */
};

static struct control *control(void) {
    static struct control *mapped = NULL;
    if (mapped == NULL) {
        const char *name = getenv("TUNE_FULL_DISK");
        int (*open_it)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
        int fd = name == NULL ? -1 : open_it(name, O_RDWR);
        if (fd < 0) return NULL;
        void *at = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        close(fd);
        if (at == MAP_FAILED) return NULL;
        mapped = at;
    }
    return mapped;
}

static int is_full(const char *call, const char *path) {
    struct control *c = control();
    if (c == NULL || c->place[0] == 0 || path == NULL) return 0;
    if (strncmp(path, c->place, strlen(c->place)) != 0) return 0;
    long number = __sync_add_and_fetch(&c->count, 1);
    if (c->fail_at == 0 || number < c->fail_at || number > c->last) return 0;
    if (__sync_add_and_fetch(&c->failed, 1) == 1)
        snprintf(c->what, sizeof c->what, "%s %s", call, path + strlen(c->place));
    errno = ENOSPC;
    return 1;
}

static int is_full_at(const char *call, int folder, const char *path) {
    char whole[4096];
    if (path == NULL) return 0;
    if (path[0] != '/') {
        char link[64];
        ssize_t n;
        if (folder == AT_FDCWD) {
            if (getcwd(whole, sizeof whole) == NULL) return 0;
            n = (ssize_t)strlen(whole);
        } else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
            n = readlink(link, whole, sizeof whole - 1);
        }
        if (n < 0) return 0;
        whole[n] = 0;
        snprintf(whole + n, sizeof whole - n, "/%s", path);
        return is_full(call, whole);
    }
    return is_full(call, path);
}

static int is_full_of(const char *call, int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return is_full(call, path);
}

#define NEXT(type, name, ...) \
    static type (*next)(__VA_ARGS__) = NULL; \
    if (next == NULL) next = dlsym(RTLD_NEXT, name)

ssize_t write(int fd, const void *data, size_t n) {
    NEXT(ssize_t, "write", int, const void *, size_t);
    return is_full_of("write", fd) ? -1 : next(fd, data, n);
}

ssize_t writev(int fd, const struct iovec *data, int n) {
    NEXT(ssize_t, "writev", int, const struct iovec *, int);
    return is_full_of("writev", fd) ? -1 : next(fd, data, n);
}

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) {
    NEXT(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    return is_full_of("pwrite", fd) ? -1 : next(fd, data, n, at);
}

ssize_t sendfile64(int to, int from, off64_t *at, size_t n) {
    NEXT(ssize_t, "sendfile64", int, int, off64_t *, size_t);
    return is_full_of("sendfile", to) ? -1 : next(to, from, at, n);
}

ssize_t sendfile(int to, int from, off_t *at, size_t n) {
    NEXT(ssize_t, "sendfile", int, int, off_t *, size_t);
    return is_full_of("sendfile", to) ? -1 : next(to, from, at, n);
}

ssize_t copy_file_range(int from, off64_t *start, int to, off64_t *at, size_t n, unsigned int flags) {
    NEXT(ssize_t, "copy_file_range", int, off64_t *, int, off64_t *, size_t, unsigned int);
    return is_full_of("copy_file_range", to) ? -1 : next(from, start, to, at, n, flags);
}

size_t fwrite(const void *data, size_t size, size_t n, FILE *file) {
    NEXT(size_t, "fwrite", const void *, size_t, size_t, FILE *);
    return is_full_of("fwrite", fileno(file)) ? 0 : next(data, size, n, file);
}

/* what is left in the buffer is lost, and that is said here alone */
int fclose(FILE *file) {
    NEXT(int, "fclose", FILE *);
    int lost = __fpending(file) > 0 && is_full_of("fclose", fileno(file));
    if (lost) __fpurge(file);
    int ended = next(file);
    if (lost) errno = ENOSPC;
    return lost ? EOF : ended;
}

int ftruncate64(int fd, off64_t size) {
    NEXT(int, "ftruncate64", int, off64_t);
    return is_full_of("ftruncate", fd) ? -1 : next(fd, size);
}

int fsync(int fd) {
    NEXT(int, "fsync", int);
    return is_full_of("fsync", fd) ? -1 : next(fd);
}

int rename(const char *from, const char *to) {
    NEXT(int, "rename", const char *, const char *);
    return is_full_at("rename", AT_FDCWD, to) ? -1 : next(from, to);
}

int mkdir(const char *path, mode_t mode) {
    NEXT(int, "mkdir", const char *, mode_t);
    return access(path, F_OK) != 0 && is_full_at("mkdir", AT_FDCWD, path) ? -1 : next(path, mode);
}

static int makes(int folder, const char *path, int flags) {
    return (flags & O_CREAT) && faccessat(folder, path, F_OK, 0) != 0;
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        NEXT(int, #name, const char *, int, ...); \
        va_list more; \
        va_start(more, flags); \
        int mode = va_arg(more, int); \
        va_end(more); \
        if (makes(AT_FDCWD, path, flags) && is_full_at("open", AT_FDCWD, path)) return -1; \
        return next(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        NEXT(int, #name, int, const char *, int, ...); \
        va_list more; \
        va_start(more, flags); \
        int mode = va_arg(more, int); \
        va_end(more); \
        if (makes(folder, path, flags) && is_full_at("open", folder, path)) return -1; \
        return next(folder, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)
