/** Reading of one member of the small ZIP archive that TFLite Metadata appends to a model file. */

import { inflateSync } from "fflate";

import { ModelCardError } from "./errors.js";

// PKWARE's APPNOTE 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16.
const END_MAGIC = 0x06054b50;
const END_BYTES = 22;
const ENTRY_MAGIC = 0x02014b50;
const ENTRY_BYTES = 46;
const LOCAL_MAGIC = 0x04034b50;
const LOCAL_BYTES = 30;
const MAX_COMMENT_BYTES = 0xffff;
const MAX_MEMBERS = 64;
const MAX_DIRECTORY_BYTES = 64 << 10;
const ENCRYPTED = 1;
const STORED = 0;
const DEFLATED = 8;

interface Entry {
  readonly name: string;
  readonly flags: number;
  readonly method: number;
  readonly crc: number;
  readonly compressed: number;
  readonly size: number;
  readonly offset: number;
}

/** A member, and the position of the archive's first byte. */
export interface Member {
  readonly content: Uint8Array;
  readonly archiveStart: number;
}

/**
 * Read one member of an archive at the end of a file. Sizes are checked before anything is allocated.
 *
 * @returns The member; undefined if the file ends with no archive.
 * @throws ModelCardError if the archive is damaged, contains not exactly one member of this name, or the member is
 *   larger than `maxBytes`, encrypted or compressed by another method than deflate.
 */
export function readMember(file: Uint8Array, name: string, maxBytes: number): Member | undefined {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const end = findEnd(view);
  if (end === undefined) return undefined;
  const size = view.getUint32(end + 12, true);
  const stated = view.getUint32(end + 16, true);
  const start = end - size;
  if (start < 0 || size > MAX_DIRECTORY_BYTES) throw damaged("its directory is too large");
  // Offsets count from the archive's first byte, or from the file's.
  const archive = start - stated;
  if (archive < 0) throw damaged("its directory is not where it is stated to be");
  const entries = readDirectory(view, start, end, archive);
  checkPlaces(entries, start);
  const matching = entries.filter((entry) => entry.name === name);
  if (matching.length !== 1) {
    throw new ModelCardError(`expected one ${name} in the model file, found ${matching.length}`, CONVERT_HINT);
  }
  const first = Math.min(...entries.map((entry) => entry.offset));
  return { content: readEntry(view, matching[0]!, start, maxBytes), archiveStart: first };
}

/** Advice for a file without a card. */
export const CONVERT_HINT = "convert the model with edge-convert convert, which writes a card into every file";

function damaged(what: string): ModelCardError {
  return new ModelCardError(`the model card is damaged: ${what}`, "copy the file again");
}

function findEnd(view: DataView): number | undefined {
  const last = view.byteLength - END_BYTES;
  for (let at = last; at >= Math.max(0, last - MAX_COMMENT_BYTES); at--) {
    if (view.getUint32(at, true) === END_MAGIC && at + END_BYTES + view.getUint16(at + 20, true) === view.byteLength) return at;
  }
  return undefined;
}

function readDirectory(view: DataView, start: number, end: number, archive: number): Entry[] {
  const entries: Entry[] = [];
  for (let at = start; at < end; ) {
    if (entries.length === MAX_MEMBERS) throw damaged(`it has more than ${MAX_MEMBERS} members`);
    if (at + ENTRY_BYTES > end || view.getUint32(at, true) !== ENTRY_MAGIC) throw damaged("its directory is cut or altered");
    const nameBytes = view.getUint16(at + 28, true);
    const next = at + ENTRY_BYTES + nameBytes + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
    if (next > end) throw damaged("its directory is cut");
    entries.push({
      name: ascii(view, at + ENTRY_BYTES, nameBytes),
      flags: view.getUint16(at + 8, true),
      method: view.getUint16(at + 10, true),
      crc: view.getUint32(at + 16, true),
      compressed: view.getUint32(at + 20, true),
      size: view.getUint32(at + 24, true),
      offset: archive + view.getUint32(at + 42, true),
    });
    at = next;
  }
  return entries;
}

/** Check that no two members share bytes, and that all are before the directory. */
function checkPlaces(entries: readonly Entry[], directory: number): void {
  let end = 0;
  for (const entry of [...entries].sort((a, b) => a.offset - b.offset)) {
    if (entry.compressed === 0) continue;
    if (entry.offset < end) throw damaged("its members overlap");
    end = entry.offset + LOCAL_BYTES + entry.compressed;
  }
  if (end > directory) throw damaged("a member is longer than the archive");
}

function readEntry(view: DataView, entry: Entry, directory: number, maxBytes: number): Uint8Array {
  if (entry.size > maxBytes) throw damaged(`expected at most ${maxBytes} bytes, found ${entry.size}`);
  if (entry.flags & ENCRYPTED || (entry.method !== STORED && entry.method !== DEFLATED)) {
    throw damaged(`expected no encryption, and no compression or deflate, found method ${entry.method}`);
  }
  const { offset } = entry;
  if (offset + LOCAL_BYTES > directory || view.getUint32(offset, true) !== LOCAL_MAGIC) throw damaged("its header is altered");
  const nameBytes = view.getUint16(offset + 26, true);
  const start = offset + LOCAL_BYTES + nameBytes + view.getUint16(offset + 28, true);
  if (start + entry.compressed > directory) throw damaged("it is cut");
  if (ascii(view, offset + LOCAL_BYTES, nameBytes) !== entry.name) throw damaged("its name differs from the directory's");
  const data = new Uint8Array(view.buffer, view.byteOffset + start, entry.compressed);
  const content = entry.method === STORED ? data : inflated(data, entry.size);
  if (content.length !== entry.size) throw damaged(`expected ${entry.size} bytes, found ${content.length}`);
  if (crc32(content) !== entry.crc) throw damaged("its checksum differs");
  return content;
}

function inflated(data: Uint8Array, size: number): Uint8Array {
  try {
    return inflateSync(data, { out: new Uint8Array(size) });
  } catch (error) {
    throw damaged(`it cannot be decompressed: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function ascii(view: DataView, start: number, length: number): string {
  let text = "";
  for (let i = 0; i < length; i++) text += String.fromCharCode(view.getUint8(start + i));
  return text;
}

function crc32(bytes: Uint8Array): number {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}
