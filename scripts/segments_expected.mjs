// Writes tests/data/sms_segments.json: what Twilio's own calculator says that generated texts are billed as.
//
//   npm install --prefix DIR sms-segments-calculator@1.3.0
//   node scripts/segments_expected.mjs DIR > tests/data/sms_segments.json
//
// The texts come of a fixed seed, so the file changes only if this script or the calculator does. Each is written as
// [segments, [piece, times], ...]. Smart encoding is off, as runcap never counts on it.

import { createRequire } from "node:module";
import { join } from "node:path";

const VERSION = "1.3.0";
const require = createRequire(join(process.argv[2], "x.js"));
const { SegmentedMessage } = require("sms-segments-calculator");
if (require("sms-segments-calculator/package.json").version !== VERSION) throw new Error(`not ${VERSION}`);

let state = 20261124;
function below(limit) {
  // xorshift32
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % limit;
}
const pick = (list) => list[below(list.length)];

const BASIC = [..."@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCXYZÄÖÑÜ§¿abcxyzäöñüà"];
const EXTENSION = [..."\f^{}\\[~]|€"];
const UCS2 = ["\u2019", "ê", "中", "д", "`", "\t", "ا", "\ud83d\ude00", "\ud83d\udc4d\ud83c\udffd",
  "\ud83d\udc68\u200d\ud83d\udc69\u200d\ud83d\udc67", "\ud83c\udde6\ud83c\uddf9", "e\u0301", "\u0915\u094d\u0937\u093f",
  "\u1112\u1161\u11ab", "\u0e01\u0e33", "1\ufe0f\u20e3", "\u0600a", "\u2764\ufe0f", "\ud842\udfb7"];
const LENGTHS = [1, 1, 2, 3, 33, 34, 35, 63, 64, 65, 66, 67, 68, 69, 70, 71, 76, 77, 79, 80, 81, 130, 133, 134, 135, 150, 151,
  152, 153, 154, 158, 159, 160, 161, 200, 201, 202, 304, 305, 306, 307, 459, 460];

const cases = [];
function add(...pieces) {
  const text = pieces.map(([piece, times]) => piece.repeat(times)).join("");
  if (text.length <= 1600) cases.push([new SegmentedMessage(text, "auto", false).segmentsCount, ...pieces]);
}

for (const char of [...BASIC, ...EXTENSION, ...UCS2]) for (const times of [1, 35, 67, 70, 80, 160, 161]) add([char, times]);
for (const length of LENGTHS) for (const piece of [...EXTENSION.slice(0, 3), ...UCS2]) {
  add(["a", length], [piece, 1]);
  add(["a", length], [piece, 1], ["b", 153]);
}
while (cases.length < 3600) {
  const alphabet = pick([BASIC, EXTENSION, UCS2, [...BASIC, ...EXTENSION], [...BASIC, ...UCS2], [...EXTENSION, ...UCS2]]);
  add(...Array.from({ length: 1 + below(5) }, () => [pick(alphabet), below(3) ? pick(LENGTHS) : 1 + below(12)]));
}

const head = {
  source: `npm sms-segments-calculator ${VERSION}, smart encoding off; run on 2026-11-24`,
  command: "node scripts/segments_expected.mjs (its first lines say how)",
};
process.stdout.write(`{"source": ${JSON.stringify(head.source)},\n"command": ${JSON.stringify(head.command)},\n"cases": [\n`);
process.stdout.write(cases.map((each) => JSON.stringify(each)).join(",\n") + "\n]}\n");
