/* Counts syncs of the write-ahead log, and on demand lets syncs or writes of the data directory fail.
 *
 * AUTHLEDGER_TEST_DISK names a file of 64-bit words in the machine's order, shared with the test:
 *   0  syncs of the WAL that began      2  what to fail: 0 nothing, 1 syncs with EIO, 2 writes with ENOSPC,
 *                                          3 syncs with EIO but not the WAL's
 *   1  syncs of the WAL that succeeded  3  calls that were failed
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BEGAN, SUCCEEDED, FAIL, FAILED, WORDS };
enum { NOTHING, SYNCS, WRITES, CHECKPOINTS };

static _Atomic uint64_t *words;

__attribute__((constructor)) static void map(void) {
    const char *path = getenv("AUTHLEDGER_TEST_DISK");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *mapped = mmap(NULL, WORDS * sizeof *words, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped != MAP_FAILED) words = mapped;
    close(fd);
}

static int ends_with(int fd, const char *suffix) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path);
    size_t wanted = strlen(suffix);
    return length >= (ssize_t)wanted && memcmp(path + length - wanted, suffix, wanted) == 0;
}

static int of_the_ledger(int fd) { return ends_with(fd, "/ledger.db-wal") || ends_with(fd, "/ledger.db"); }

static int fails(uint64_t what, int fd, int error) {
    if (!words || words[FAIL] != what || !of_the_ledger(fd)) return 0;
    words[FAILED]++;
    errno = error;
    return 1;
}

static int sync_with(const char *name, int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    int wal = words && ends_with(fd, "/ledger.db-wal");
    if (wal) words[BEGAN]++;
    if (fails(SYNCS, fd, EIO) || (!wal && fails(CHECKPOINTS, fd, EIO))) return -1;
    int result = real(fd);
    if (wal && result == 0) words[SUCCEEDED]++;
    return result;
}

int fdatasync(int fd) { return sync_with("fdatasync", fd); }
int fsync(int fd) { return sync_with("fsync", fd); }

typedef ssize_t (*pwrite_type)(int, const void *, size_t, off64_t);

static ssize_t pwrite_with(const char *name, int fd, const void *bytes, size_t count, off64_t offset) {
    if (fails(WRITES, fd, ENOSPC)) return -1;
    return ((pwrite_type)dlsym(RTLD_NEXT, name))(fd, bytes, count, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    return pwrite_with("pwrite", fd, bytes, count, offset);
}
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    return pwrite_with("pwrite64", fd, bytes, count, offset);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    if (fails(WRITES, fd, ENOSPC)) return -1;
    return ((ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write"))(fd, bytes, count);
}
