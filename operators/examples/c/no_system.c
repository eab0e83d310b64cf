// What the C library would ask of a system if text were written to a file. Nothing here writes to one, but formatting text in
// memory brings the code along that could; with these in place the operator imports nothing of `wasi:`.

#include <wasi/api.h>

int32_t __imported_wasi_snapshot_preview1_fd_close(int32_t fd) {
    (void)fd;
    return __WASI_ERRNO_NOSYS;
}

int32_t __imported_wasi_snapshot_preview1_fd_seek(int32_t fd, int64_t offset, int32_t whence, int32_t to) {
    (void)fd, (void)offset, (void)whence, (void)to;
    return __WASI_ERRNO_NOSYS;
}

int32_t __imported_wasi_snapshot_preview1_fd_write(int32_t fd, int32_t parts, int32_t count, int32_t written) {
    (void)fd, (void)parts, (void)count, (void)written;
    return __WASI_ERRNO_NOSYS;
}
