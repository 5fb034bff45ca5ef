// Files below /workspace through WASI, which AssemblyScript has no library for. They take the
// capability fs; without it every function here answers an error.

import { Failure, Status, fail } from "./index";

// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "fd_prestat_get")
declare function fd_prestat_get(fd: u32, out: usize): u32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "fd_prestat_dir_name")
declare function fd_prestat_dir_name(fd: u32, path: usize, len: u32): u32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "path_open")
declare function path_open(
  fd: u32, look: u32, path: usize, len: u32, open: u32, rights: u64, inherit: u64, flags: u32, out: usize,
): u32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "path_create_directory")
declare function path_create_directory(fd: u32, path: usize, len: u32): u32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "path_unlink_file")
declare function path_unlink_file(fd: u32, path: usize, len: u32): u32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "fd_read")
declare function fd_read(fd: u32, vectors: usize, n: u32, out: usize): u32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "fd_write")
declare function fd_write(fd: u32, vectors: usize, n: u32, out: usize): u32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "fd_readdir")
declare function fd_readdir(fd: u32, buffer: usize, len: u32, cookie: u64, out: usize): u32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "fd_close")
declare function fd_close(fd: u32): u32;

const RIGHT_READ: u64 = 1 << 1;
const RIGHT_WRITE: u64 = 1 << 6;
const RIGHT_READDIR: u64 = 1 << 14;
const CREATE: u32 = 1;
const DIRECTORY: u32 = 2;
const TRUNCATE: u32 = 8;
const APPEND: u32 = 1;

const word = memory.data(16); // where WASI puts its answers
const vector = memory.data(8);

/** A directory that is open from the start, and a path below it. */
class Place {
  fd: u32 = 0;
  path: ArrayBuffer = new ArrayBuffer(0);

  at(): usize {
    return changetype<usize>(this.path);
  }
}

/** Finds the directory that path, such as "/workspace/a.txt", lies in. */
function locate(path: string): Place | null {
  const place = new Place();
  let best = -1;
  for (let fd: u32 = 3; fd_prestat_get(fd, word) == 0; fd++) {
    const len = load<u32>(word, 4);
    const b = new ArrayBuffer(len);
    if (fd_prestat_dir_name(fd, changetype<usize>(b), len) != 0) break;
    const dir = String.UTF8.decode(b);
    if (dir.length <= best || (path != dir && !path.startsWith(dir + "/"))) continue;
    best = dir.length;
    place.fd = fd;
    place.path = String.UTF8.encode(path == dir ? "." : path.substring(dir.length + 1));
  }
  if (best >= 0) return place;
  fail(Status.Denied, path + ": no directory of the workspace is granted");
  return null;
}

function check(errno: u32, path: string): bool {
  switch (errno) {
    case 0:
      return true;
    case 2:
    case 63:
    case 69:
    case 76:
      return fail(Status.Denied, path + ": not permitted");
    case 44:
      return fail(Status.NotFound, path + ": no such file or directory");
    case 51:
      return fail(Status.TooLarge, path + ": the workspace is full");
  }
  return fail(Status.Skill, path + ": WASI error " + errno.toString());
}

/** Opens a file; -1 after an error. */
function open(path: string, how: u32, rights: u64, flags: u32): i32 {
  const place = locate(path);
  if (!place) return -1;
  const errno = path_open(place.fd, 1, place.at(), place.path.byteLength, how, rights, 0, flags, word);
  return check(errno, path) ? load<i32>(word) : -1;
}

/** The text of a file, or null and lastError. */
export function readFile(path: string): string | null {
  const fd = open(path, 0, RIGHT_READ, 0);
  if (fd < 0) return null;
  const size: u32 = 64 << 10;
  let all = new Uint8Array(0);
  const b = new Uint8Array(size);
  let ok = true;
  while (ok) {
    store<usize>(vector, b.dataStart);
    store<u32>(vector, size, 4);
    ok = check(fd_read(fd, vector, 1, word), path);
    const n = load<i32>(word);
    if (!ok || n == 0) break;
    const more = new Uint8Array(all.length + n);
    more.set(all);
    more.set(b.subarray(0, n), all.length);
    all = more;
  }
  fd_close(fd);
  return ok ? String.UTF8.decodeUnsafe(all.dataStart, all.length) : null;
}

function writeAll(path: string, text: string, how: u32, flags: u32): bool {
  const fd = open(path, how, RIGHT_WRITE, flags);
  if (fd < 0) return false;
  const b = String.UTF8.encode(text);
  let ok = true;
  for (let done: u32 = 0; ok && done < <u32>b.byteLength; done += load<u32>(word)) {
    store<usize>(vector, changetype<usize>(b) + done);
    store<u32>(vector, b.byteLength - done, 4);
    ok = check(fd_write(fd, vector, 1, word), path);
  }
  fd_close(fd);
  return ok;
}

/** Makes or replaces a file; false after an error. */
export function writeFile(path: string, text: string): bool {
  return writeAll(path, text, CREATE | TRUNCATE, 0);
}

/** Adds to the end of a file, or makes it; false after an error. */
export function appendFile(path: string, text: string): bool {
  return writeAll(path, text, CREATE, APPEND);
}

/** Makes a directory; one that is there is an error. */
export function makeDirectory(path: string): bool {
  const place = locate(path);
  return place != null && check(path_create_directory(place.fd, place.at(), place.path.byteLength), path);
}

/** Removes a file. */
export function removeFile(path: string): bool {
  const place = locate(path);
  return place != null && check(path_unlink_file(place.fd, place.at(), place.path.byteLength), path);
}

/** The names in a directory, or null and lastError. */
export function readDirectory(path: string): string[] | null {
  const fd = open(path, DIRECTORY, RIGHT_READDIR, 0);
  if (fd < 0) return null;
  const size: u32 = 16 << 10;
  const b = new ArrayBuffer(size);
  const start = changetype<usize>(b);
  const names: string[] = [];
  let ok = true;
  let cookie: u64 = 0;
  for (let used = size; ok && used == size; ) {
    ok = check(fd_readdir(fd, start, size, cookie, word), path);
    used = load<u32>(word);
    for (let at: u32 = 0; ok && at + 24 <= used; ) {
      const len = load<u32>(start + at, 16);
      if (at + 24 + len > used) break; // cut short: read again from the last whole one
      cookie = load<u64>(start + at);
      const name = String.UTF8.decodeUnsafe(start + at + 24, len);
      if (name != "." && name != "..") names.push(name);
      at += 24 + len;
    }
  }
  fd_close(fd);
  return ok ? names : null;
}
