// A disk that a test rules over, for LD_PRELOAD: whenever a file is synced, it is copied into the folder DISK, as it
// would be found after a power cut. The file `delay` there says how many milliseconds a sync takes, `broken` fails it,
// and `loop` is made where the first thread of the process, which is Node's event loop, waits for one.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int synced(int fd, const char *name) {
  const char *disk = getenv("DISK");
  char link[64], path[1024] = "", copy[2048], temporary[2100];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  if (!disk || readlink(link, path, sizeof path - 1) < 0 || !strstr(path, ".db")) goto real;
  snprintf(copy, sizeof copy, "%s/loop", disk);
  if (syscall(SYS_gettid) == getpid()) close(open(copy, O_WRONLY | O_CREAT, 0600));
  snprintf(copy, sizeof copy, "%s/broken", disk);
  if (access(copy, F_OK) == 0) { errno = EIO; return -1; }
  snprintf(copy, sizeof copy, "%s/delay", disk);
  FILE *delay = fopen(copy, "r");
  int milliseconds = 0;
  if (delay) { if (fscanf(delay, "%d", &milliseconds) == 1) usleep(milliseconds * 1000); fclose(delay); }
  snprintf(copy, sizeof copy, "%s%s", disk, strrchr(path, '/'));
  snprintf(temporary, sizeof temporary, "%s.new", copy);
  int to = open(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  char bytes[65536]; // read through the same descriptor: closing another one would let go of SQLite's locks
  ssize_t length;
  for (off_t at = 0; (length = pread(fd, bytes, sizeof bytes, at)) > 0; at += length)
    if (write(to, bytes, length) != length) abort();
  close(to);
  rename(temporary, copy); // a kill in between leaves the old one
real:;
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  return real(fd);
}

int fsync(int fd) { return synced(fd, "fsync"); }
int fdatasync(int fd) { return synced(fd, "fdatasync"); }
