/* A disk that keeps a log: loaded into a process with LD_PRELOAD, it writes down everything done to one folder.
 *
 * Every change of a file or name and the begin and end of every sync goes to the log in the order in which it happened;
 * from the log, disk.py makes what a power cut at any moment would have left. No sync is passed on to the real disk.
 *
 *   DISK_WATCH    the folder, absolute and real
 *   DISK_LOG      the log; may be missing if only DISK_ROOM is wanted
 *   DISK_SYNC_US  microseconds a sync takes, so that work piles up behind it as behind a real disk
 *   DISK_ROOM     a file whose text is the number of bytes the folder's files may have together; past it, ENOSPC.
 *                 Read anew for each write, so that a test can fill the disk of a running process
 *
 * One entry: u32 length of what follows, u8 kind, u64 object (an inode), u64 number, bytes. Not caught: writes through
 * a shared mapping, for which an entry of kind M tells the reader to distrust the file (SQLite's -shm is of that kind,
 * and is rebuilt after a crash), and writes through a copied descriptor.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 4096 }; /* descriptors */

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static char watch[PATH_MAX], room_file[PATH_MAX];
static size_t watch_length;
static int log_fd = -1;
static long sync_us;
static uint64_t objects[MOST]; /* by descriptor; 0 is none of ours */

static int (*real_open)(const char *, int, ...);
static int (*real_openat)(int, const char *, int, ...);
static int (*real_close)(int);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_unlink)(const char *);
static int (*real_rename)(const char *, const char *);
static void *(*real_mmap)(void *, size_t, int, int, int, off_t);

__attribute__((constructor)) static void begin(void)
{
    real_open = dlsym(RTLD_NEXT, "open64");
    real_openat = dlsym(RTLD_NEXT, "openat64");
    real_close = dlsym(RTLD_NEXT, "close");
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    real_rename = dlsym(RTLD_NEXT, "rename");
    real_mmap = dlsym(RTLD_NEXT, "mmap64");
    const char *folder = getenv("DISK_WATCH"), *file = getenv("DISK_LOG"), *us = getenv("DISK_SYNC_US"),
               *room = getenv("DISK_ROOM");
    if (us)
        sync_us = atol(us);
    if (room)
        snprintf(room_file, sizeof room_file, "%s", room);
    if (file)
        log_fd = real_open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (folder)
        watch_length = (size_t)snprintf(watch, sizeof watch, "%s", folder);
}

static void note(char kind, uint64_t object, uint64_t number, const void *data, size_t length)
{
    unsigned char head[21];
    uint32_t rest = (uint32_t)(17 + length);
    struct iovec parts[2] = {{head, sizeof head}, {(void *)data, length}};
    if (log_fd < 0)
        return;
    memcpy(head, &rest, 4);
    head[4] = (unsigned char)kind;
    memcpy(head + 5, &object, 8);
    memcpy(head + 13, &number, 8);
    if (writev(log_fd, parts, length ? 2 : 1) != (ssize_t)(sizeof head + length))
        abort(); /* a log with a hole would prove nothing */
}

/* The name within the folder, "" for the folder itself, NULL for anything else. */
static const char *within(const char *path, char *space)
{
    char whole[PATH_MAX], here[PATH_MAX];
    if (!watch_length || !path)
        return NULL;
    if (path[0] != '/') {
        if (!getcwd(here, sizeof here) || (size_t)snprintf(whole, sizeof whole, "%s/%s", here, path) >= sizeof whole)
            return NULL;
        path = whole;
    }
    if (strncmp(path, watch, watch_length) || (path[watch_length] && path[watch_length] != '/'))
        return NULL;
    path += watch_length;
    while (*path == '/' || (*path == '.' && (path[1] == '/' || !path[1])))
        path++;
    return strcpy(space, path);
}

static uint64_t object_of(int fd)
{
    return fd >= 0 && fd < MOST ? objects[fd] : 0;
}

static int opened(int fd, const char *name, int flags, int existed)
{
    struct stat found;
    if (fd < 0 || fd >= MOST || fstat(fd, &found))
        return fd;
    objects[fd] = found.st_ino;
    note(existed ? 'O' : 'C', found.st_ino, 0, name, strlen(name));
    if (existed && (flags & O_TRUNC))
        note('T', found.st_ino, 0, NULL, 0);
    return fd;
}

static int open_it(int at, const char *path, int flags, mode_t mode)
{
    char space[PATH_MAX];
    const char *name = at == AT_FDCWD || (path && path[0] == '/') ? within(path, space) : NULL;
    struct stat found;
    int fd, existed;
    if (!name)
        return at == AT_FDCWD ? real_open(path, flags, mode) : real_openat(at, path, flags, mode);
    pthread_mutex_lock(&turn);
    existed = !stat(path, &found);
    fd = opened(real_open(path, flags, mode), name, flags, existed);
    pthread_mutex_unlock(&turn);
    return fd;
}

#define OPEN(NAME)                                                                                                     \
    int NAME(const char *path, int flags, ...)                                                                         \
    {                                                                                                                  \
        va_list more;                                                                                                  \
        va_start(more, flags);                                                                                         \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;                                        \
        va_end(more);                                                                                                  \
        return open_it(AT_FDCWD, path, flags, mode);                                                                   \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(NAME)                                                                                                   \
    int NAME(int at, const char *path, int flags, ...)                                                                 \
    {                                                                                                                  \
        va_list more;                                                                                                  \
        va_start(more, flags);                                                                                         \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;                                        \
        va_end(more);                                                                                                  \
        return open_it(at, path, flags, mode);                                                                         \
    }
OPENAT(openat)
OPENAT(openat64)

int close(int fd)
{
    if (fd >= 0 && fd < MOST)
        objects[fd] = 0;
    return real_close(fd);
}

/* How many of `length` bytes at `offset` the disk has room for; -1 with ENOSPC for none. */
static ssize_t fitting(int fd, size_t length, off_t offset)
{
    char text[32] = "", path[PATH_MAX + 300];
    struct stat found;
    struct dirent *entry;
    off_t used = 0, most;
    DIR *folder;
    int file;
    if (!room_file[0] || fstat(fd, &found) || (off_t)(offset + length) <= found.st_size)
        return (ssize_t)length;
    file = real_open(room_file, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return (ssize_t)length;
    if (read(file, text, sizeof text - 1) < 0)
        text[0] = 0;
    real_close(file);
    most = atoll(text);
    folder = opendir(watch);
    while (folder && (entry = readdir(folder))) {
        struct stat one;
        snprintf(path, sizeof path, "%s/%s", watch, entry->d_name);
        if (!stat(path, &one) && S_ISREG(one.st_mode))
            used += one.st_size;
    }
    if (folder)
        closedir(folder);
    most = most - used + found.st_size - offset;
    if (most <= 0) {
        errno = ENOSPC;
        return -1;
    }
    return (off_t)length < most ? (ssize_t)length : (ssize_t)most;
}

ssize_t pwrite64(int fd, const void *data, size_t length, off_t offset)
{
    uint64_t object = object_of(fd);
    ssize_t done;
    if (!object)
        return real_pwrite(fd, data, length, offset);
    pthread_mutex_lock(&turn);
    done = fitting(fd, length, offset);
    if (done > 0)
        done = real_pwrite(fd, data, (size_t)done, offset);
    if (done > 0)
        note('W', object, (uint64_t)offset, data, (size_t)done);
    pthread_mutex_unlock(&turn);
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset)
{
    return pwrite64(fd, data, length, offset);
}

ssize_t write(int fd, const void *data, size_t length)
{
    uint64_t object = object_of(fd);
    off_t offset;
    ssize_t done;
    if (!object)
        return real_write(fd, data, length);
    offset = lseek(fd, 0, fcntl(fd, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR);
    done = pwrite64(fd, data, length, offset);
    if (done > 0)
        lseek(fd, offset + done, SEEK_SET);
    return done;
}

int ftruncate64(int fd, off_t size)
{
    uint64_t object = object_of(fd);
    int done;
    if (!object)
        return real_ftruncate(fd, size);
    pthread_mutex_lock(&turn);
    done = real_ftruncate(fd, size);
    if (!done)
        note('T', object, (uint64_t)size, NULL, 0);
    pthread_mutex_unlock(&turn);
    return done;
}

int ftruncate(int fd, off_t size)
{
    return ftruncate64(fd, size);
}

static int sync_it(uint64_t object)
{
    struct timespec pause = {sync_us / 1000000, sync_us % 1000000 * 1000};
    uint64_t thread = (uint64_t)syscall(SYS_gettid);
    pthread_mutex_lock(&turn);
    note('B', object, thread, NULL, 0);
    pthread_mutex_unlock(&turn);
    nanosleep(&pause, NULL);
    pthread_mutex_lock(&turn);
    note('F', object, thread, NULL, 0);
    pthread_mutex_unlock(&turn);
    return 0;
}

int fsync(int fd)
{
    uint64_t object = object_of(fd);
    return object ? sync_it(object) : real_fsync(fd);
}

int fdatasync(int fd)
{
    uint64_t object = object_of(fd);
    return object ? sync_it(object) : real_fdatasync(fd);
}

int unlink(const char *path)
{
    char space[PATH_MAX];
    const char *name = within(path, space);
    int done;
    if (!name)
        return real_unlink(path);
    pthread_mutex_lock(&turn);
    done = real_unlink(path);
    if (!done)
        note('U', 0, 0, name, strlen(name));
    pthread_mutex_unlock(&turn);
    return done;
}

int rename(const char *from, const char *to)
{
    char one[PATH_MAX], two[PATH_MAX], both[2 * PATH_MAX];
    const char *old = within(from, one), *new = within(to, two);
    int done;
    if (!old && !new)
        return real_rename(from, to);
    if (!old || !new)
        abort(); /* a name that comes from outside has no history here */
    pthread_mutex_lock(&turn);
    done = real_rename(from, to);
    if (!done)
        note('R', 0, 0, both, (size_t)sprintf(both, "%s%c%s", old, '\n', new));
    pthread_mutex_unlock(&turn);
    return done;
}

void *mmap64(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
    uint64_t object = object_of(fd);
    if (object && (flags & MAP_SHARED) && (protection & PROT_WRITE)) {
        pthread_mutex_lock(&turn);
        note('M', object, 0, NULL, 0);
        pthread_mutex_unlock(&turn);
    }
    return real_mmap(at, length, protection, flags, fd, offset);
}

void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
    return mmap64(at, length, protection, flags, fd, offset);
}
