import { expect, test } from 'vitest';
import {
  LISTENER_METADATA,
  parseMetadata,
  printMetadata,
} from '../../../src/oci/listener-metadata.js';

test('what is written is read', () => {
  for (const metadata of [
    { networkAdmin: false, optionsReported: false },
    { netns: '4:4026532000', networkAdmin: true, optionsReported: true },
    {
      networkAdmin: false,
      optionsReported: true,
      socketLabel: 'system_u:system_r:container_t:s0:c1,c2',
    },
  ]) {
    expect(parseMetadata(printMetadata(metadata))).toEqual(metadata);
  }
});

test('a profile that no hook has completed tells nothing', () => {
  expect(parseMetadata(LISTENER_METADATA)).toEqual({ networkAdmin: false, optionsReported: false });
});

test.each([
  '',
  'sockswitch/2',
  'sockswitch/1x',
  'sockswitch/1 ',
  'sockswitch/1 {',
  'sockswitch/1 {"netns":"4"}',
  'sockswitch/1 {"netns":"4:-1"}',
  'sockswitch/1 {"networkAdmin":"yes"}',
  'sockswitch/1 {"socketLabel":"a b"}',
])('%j is not ours', (text) => expect(parseMetadata(text)).toBeUndefined());
