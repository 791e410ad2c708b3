/** What `npm run bench -- publish` writes: that the committed files are it, and what it says to results that are none. */
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { picture } from '../../../bench/report/picture.js';
import { published } from '../../../bench/report/publish.js';
import type { Trial } from '../../../bench/report/results.js';
import { roundedRatio, speedsOf } from '../../../bench/report/speeds.js';

const REPOSITORY = fileURLToPath(new URL('../../..', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'sockswitch-publish-'));
afterAll(() => rmSync(directory, { recursive: true }));

describe('the committed files', () => {
  test('are what publish makes of the committed results', async () => {
    const { files } = await published(REPOSITORY);
    for (const [file, text] of files) {
      expect(readFileSync(join(REPOSITORY, file), 'utf8') === text, `${file}: run publish`).toBe(
        true,
      );
    }
  });

  test('a picture has its text alternative', () => {
    for (const scheme of ['light', 'dark']) {
      const svg = readFileSync(join(REPOSITORY, `docs/speed-${scheme}.svg`), 'utf8');
      expect(svg).toMatch(/<svg[^>]* role="img" aria-labelledby="title desc">/);
      expect(svg).toMatch(
        /<title id="title">.+<\/title>\n<desc id="desc">.*sockswitch \d.*<\/desc>/,
      );
    }
  });
});

describe('results that are none', () => {
  let count = 0;

  /** A repository with these results and the files that publish reads. */
  function repository(results: Readonly<Record<string, string>>, readme?: string): string {
    const root = join(directory, String(count++));
    for (const file of ['README.md', 'docs/performance.md']) {
      mkdirSync(dirname(join(root, file)), { recursive: true });
      cpSync(join(REPOSITORY, file), join(root, file));
    }
    if (readme !== undefined) writeFileSync(join(root, 'README.md'), readme);
    mkdirSync(join(root, 'bench/results'), { recursive: true });
    for (const [name, text] of Object.entries(results)) {
      writeFileSync(join(root, 'bench/results', name), text);
    }
    return root;
  }

  const results = (name: string) => readFileSync(join(REPOSITORY, 'bench/results', name), 'utf8');
  const committed = results('throughput.json');
  const kubernetes = results('kubernetes.json');

  test.each([
    ['none at all', {}, 'bench/results has no results (*.json): measure with "npm run bench'],
    ['no JSON', { 'a.json': '{' }, /cannot read .*a\.json as the raw data of a run/],
    ['no run', { 'a.json': '{"schema":1}' }, /a\.json is not the raw data of a run.*startedAt/],
    [
      'an unknown driver',
      { 'a.json': committed.replaceAll('"pasta-tuned"', '"paste"') },
      /a\.json has results of the driver "paste", which is unknown \(known: host, /,
    ],
    [
      'an unknown workload',
      { 'a.json': committed.replaceAll('"tcp-up"', '"tcp-over"') },
      /a\.json has results of the workload "tcp-over", which is unknown \(known: tcp-up, /,
    ],
    [
      'a speed of a cluster that is no number',
      { 'a.json': kubernetes.replace(/"pod_gbits": [\d.]+/, '"pod_gbits": "fast"') },
      /a\.json is not the raw data of a run .*: trials\.0\.metrics\.pod_gbits: /,
    ],
  ])('%s', async (_what, files, message) => {
    await expect(published(repository(files))).rejects.toThrow(message);
  });

  test('a cluster that was measured where nobody looked at the load', async () => {
    const unknown = kubernetes.replace(/"loadAverage": [^,]*,/, '');
    const { files } = await published(repository({ 'a.json': committed, 'b.json': unknown }));
    const text = files.get('docs/performance.md');
    expect(text).toContain('### Nodes of a Kubernetes cluster');
    expect(text).toMatch(/\*bench\/results\/b\.json: .* cores of [^,]*, podman /);
  });

  test('a README without markers', async () => {
    const root = repository({ 'a.json': committed }, 'no markers');
    await expect(published(root)).rejects.toThrow('README.md has no line "<!-- bench: begin');
  });

  test('what was not measured is named, in the README, too', async () => {
    const { files, missing } = await published(repository({ 'a.json': committed }));
    expect(missing.map(({ workload }) => workload)).toContain('connection-rate');
    expect(files.get('README.md')).toContain('Not measured: New connections (`npm run bench -- ');
  });
});

describe('speeds', () => {
  function trials(workload: string, speeds: Readonly<Record<string, number>>, day: string) {
    return Object.entries(speeds).map(
      ([driver, gbits]): Trial => ({
        ...{ workload, driver, round: 1, command: [], metrics: { gbits } },
        startedAt: `${day}T00:00:00.000Z`,
      }),
    );
  }

  test('results that are older than what they would speak of are not shown', () => {
    const results = { 'sockswitch-pasta': 6, pasta: 0.5 };
    const titles = (day: string) =>
      speedsOf(trials('vxlan', results, day)).shown.map(({ title }) => title);
    expect(titles('2026-11-22')).toEqual([]);
    expect(titles('2026-11-28')).toEqual(['VXLAN between two hosts']);
  });

  test('bars say their ratio, and to what, where that is not the host', async () => {
    const { shown } = speedsOf([
      ...trials('tcp-up', { host: 40, 'sockswitch-pasta': 39, pasta: 0.5 }, '2026-11-28'),
      ...trials('vxlan', { 'sockswitch-pasta': 6, pasta: 0.5 }, '2026-11-28'),
    ]);
    const svg = await picture(shown, 'light');
    for (const text of [
      '40.0',
      '39.0 (1.0×)',
      '0.50 (0.01×)',
      '6.00 (12× pasta)',
      'not measured',
      '–',
    ]) {
      expect(svg).toContain(`>${text}</text>`);
    }
  });

  test.each([
    [12.34, '12'],
    [1.074, '1.1'],
    [0.97, '1.0'],
    [0.097, '0.1'],
    [0.015, '0.01'],
    [0.0056, '0.006'],
  ])('%d is rounded to %s', (ratio, text) => {
    const spread = { median: ratio, min: ratio, max: ratio };
    const figure = { value: spread, ratio: spread, uncertainty: 0, failures: [] };
    expect(roundedRatio(figure)).toBe(text);
  });
});
