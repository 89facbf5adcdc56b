/** Model files for tests: a network with a card packed after it. */

import { crc32, deflateRawSync } from "node:zlib";

/** Pack one member after a network; `deflated` compresses it, `names` repeats it. */
export function modelFile(
  network: Uint8Array,
  content: Buffer,
  { deflated = false, names = ["model-card.json"], crc = crc32(content) } = {},
): Buffer {
  const data = deflated ? deflateRawSync(content) : content;
  const parts: Uint8Array[] = [network];
  const entries: Buffer[] = [];
  let offset = 0;
  for (const name of names) {
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(deflated ? 8 : 0, 4);
    fields.writeUInt32LE(crc, 10);
    fields.writeUInt32LE(data.length, 14);
    fields.writeUInt32LE(content.length, 18);
    fields.writeUInt16LE(name.length, 22);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE(offset, 10);
    parts.push(Buffer.from("PK\x03\x04"), fields, Buffer.from(name), data);
    entries.push(Buffer.from("PK\x01\x02\0\0"), fields, rest, Buffer.from(name));
    offset += 30 + name.length + data.length;
  }
  const directory = Buffer.concat(entries);
  const end = Buffer.alloc(18);
  end.writeUInt32LE(directory.length, 8);
  end.writeUInt32LE(offset, 12);
  return Buffer.concat([...parts, directory, Buffer.from("PK\x05\x06"), end]);
}
