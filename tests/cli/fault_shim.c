/* Preloaded into the program: makes its n-th change to files under a folder go wrong.
 *
 *   FAULT_FOLDER  the folder; changes elsewhere go through
 *   FAULT_LOG     a file that gets a line for each change: "write", "rename", ...
 *   FAULT_AT      the number of the change, from 1
 *   FAULT_KIND    kill: the process is killed before it; half: after it, or in the middle of what it writes;
 *                 full: it fails for want of room (ENOSPC), as does each after it; once: it alone fails so
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum Verdict { GO_ON, HALF, FAIL };

static atomic_long count;

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int inside(const char* path) {
  const char* folder = getenv("FAULT_FOLDER");
  return folder != NULL && path != NULL && strncmp(path, folder, strlen(folder)) == 0;
}

static int inside_fd(int fd) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = '\0';
  return inside(path);
}

static void log_call(const char* name) {
  const char* path = getenv("FAULT_LOG");
  if (path == NULL) return;
  const int fd = NEXT(open)(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
  char line[64];
  const int length = snprintf(line, sizeof line, "%s\n", name);
  (void)!NEXT(write)(fd, line, (size_t)length);
  close(fd);
}

static enum Verdict judge(const char* name) {
  const long number = atomic_fetch_add(&count, 1) + 1;
  const char *at = getenv("FAULT_AT"), *kind = getenv("FAULT_KIND");
  log_call(name);
  if (at == NULL || kind == NULL || number < atol(at)) return GO_ON;
  if (strcmp(kind, "full") == 0) return FAIL;
  if (number > atol(at)) return GO_ON;
  if (strcmp(kind, "once") == 0) return FAIL;
  if (strcmp(kind, "half") == 0) return HALF;
  kill(getpid(), SIGKILL);
  pause();
  return GO_ON;
}

/* Makes the call `done`, as the verdict says. */
#define CHANGE(concerns, name, done)                         \
  do {                                                       \
    enum Verdict verdict = (concerns) ? judge(name) : GO_ON; \
    if (verdict == FAIL) return errno = ENOSPC, -1;          \
    const __typeof__(done) answer = (done);                  \
    if (verdict == HALF) kill(getpid(), SIGKILL), pause();   \
    return answer;                                           \
  } while (0)
#define WRITE(fd, name, whole, part)                                      \
  do {                                                                    \
    enum Verdict verdict = inside_fd(fd) ? judge(name) : GO_ON;           \
    if (verdict == FAIL) return errno = ENOSPC, -1;                       \
    if (verdict == HALF) (void)!(part), kill(getpid(), SIGKILL), pause(); \
    return (whole);                                                       \
  } while (0)

ssize_t write(int fd, const void* data, size_t size) {
  WRITE(fd, "write", NEXT(write)(fd, data, size), NEXT(write)(fd, data, size / 2));
}
ssize_t pwrite(int fd, const void* data, size_t size, off_t at) {
  WRITE(fd, "pwrite", NEXT(pwrite)(fd, data, size, at), NEXT(pwrite)(fd, data, size / 2, at));
}
ssize_t pwrite64(int fd, const void* data, size_t size, off64_t at) {
  WRITE(fd, "pwrite", NEXT(pwrite64)(fd, data, size, at), NEXT(pwrite64)(fd, data, size / 2, at));
}
ssize_t writev(int fd, const struct iovec* parts, int n) {
  WRITE(fd, "writev", NEXT(writev)(fd, parts, n), NEXT(write)(fd, parts[0].iov_base, parts[0].iov_len / 2));
}

int rename(const char* from, const char* to) { CHANGE(inside(to), "rename", NEXT(rename)(from, to)); }
int unlink(const char* path) { /* which a full disk allows */
  const enum Verdict verdict = inside(path) ? judge("unlink") : GO_ON;
  const int answer = NEXT(unlink)(path);
  if (verdict == HALF) kill(getpid(), SIGKILL), pause();
  return answer;
}
int mkdir(const char* path, mode_t mode) { CHANGE(inside(path), "mkdir", NEXT(mkdir)(path, mode)); }
int fsync(int fd) { CHANGE(inside_fd(fd), "fsync", NEXT(fsync)(fd)); }
int fdatasync(int fd) { CHANGE(inside_fd(fd), "fdatasync", NEXT(fdatasync)(fd)); }
int ftruncate(int fd, off_t size) { CHANGE(inside_fd(fd), "ftruncate", NEXT(ftruncate)(fd, size)); }
int ftruncate64(int fd, off64_t size) { CHANGE(inside_fd(fd), "ftruncate", NEXT(ftruncate64)(fd, size)); }

#define OPEN(name)                                                                         \
  int name(const char* path, int flags, ...) {                                             \
    mode_t mode = 0;                                                                       \
    if ((flags & O_CREAT) != 0) {                                                          \
      va_list rest;                                                                        \
      va_start(rest, flags);                                                               \
      mode = va_arg(rest, mode_t);                                                         \
      va_end(rest);                                                                        \
    }                                                                                      \
    CHANGE((flags & O_CREAT) != 0 && inside(path), "open", NEXT(name)(path, flags, mode)); \
  }
OPEN(open)
OPEN(open64)
