import { expect, test } from 'vitest';
import { findMember, setMember } from '../../../src/oci/json-text.js';

test('only the named member changes', () => {
  const before = `{ "a\\"]}": [18446744073709551615, {"linux": 1}], "linux" : {"x":1e400 , "seccomp" :{"y":"}"} , "z":-0.0}, "b":"\\u0000" }\n`;
  const after = setMember(before, ['linux'], 'seccomp', '{"new":true}');
  expect(after).toBe(before.replace('{"y":"}"}', '{"new":true}'));
});

test.each([
  ['{"linux":{}}', '{"linux":{"seccomp":1}}'],
  ['{"linux":{ \n }}', '{"linux":{"seccomp":1 \n }}'],
  ['{"linux":{"a":[]}}', '{"linux":{"seccomp":1,"a":[]}}'],
  ['{"linux":{"seccomp":null,"a":[]}}', '{"linux":{"seccomp":1,"a":[]}}'],
  ['{"linux":{"seccomp":"x"}}', '{"linux":{"seccomp":1}}'],
  ['{"linux":{"secc\\u006fmp":2}}', '{"linux":{"secc\\u006fmp":1}}'],
  ['{"linux":{"seccomp":1,"seccomp":2}}', '{"linux":{"seccomp":1,"seccomp":1}}'],
  ['{"linux":{"a":"\\\\","seccomp":[1,[2]]}}', '{"linux":{"a":"\\\\","seccomp":1}}'],
])('%s', (before, after) => {
  expect(setMember(before, ['linux'], 'seccomp', '1')).toBe(after);
  expect(JSON.parse(after)).toHaveProperty('linux.seccomp', 1);
});

test('absent members and parents', () => {
  expect(findMember('{"a":1}', ['b'])).toBeUndefined();
  expect(findMember('{"a":1}', ['a', 'b'])).toBeUndefined();
  expect(findMember('[]', ['a'])).toBeUndefined();
  expect(() => setMember('{"linux":null}', ['linux'], 'seccomp', '1')).toThrow(RangeError);
});
