/**
 * How the bench's report looks, in a real browser: light and dark, wide and narrow. What is asked is what a reader needs: all of it
 * on the page, labels that can be read, bars as long as the figures say.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import puppeteer, { type Browser, type Page } from 'puppeteer-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runHtml } from '../../bench/report/html.js';
import type { Run, Trial } from '../../bench/report/results.js';

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
  existsSync,
);
const { CI } = process.env;
const inCi = CI === 'true';

/** The first start after its installation, on a machine that is busy, takes more than puppeteer's 30 s. */
const LAUNCH_PATIENCE_MS = 300_000;

/** WCAG 2: 4.5 for text, 3 for graphics. */
const TEXT_CONTRAST = 4.5;
const GRAPHICS_CONTRAST = 3;

const UPLOADS = { host: 40, 'sockswitch-pasta': 39, bypass4netns: 38, pasta: 10, slirp4netns: 2 };

function trials(): Trial[] {
  const base = { startedAt: '', command: ['podman', 'run', "it's"] };
  const rounds = [1, 2, 3];
  return rounds.flatMap((round) => [
    ...Object.entries(UPLOADS).map(([driver, gbits]) => ({
      ...{ ...base, workload: 'tcp-up', driver, round },
      metrics: { gbits: gbits * (1 + (round - 2) / 10), cpu_per_gib: 1 / gbits },
    })),
    ...['host', 'sockswitch-pasta', 'pasta'].map((driver) => ({
      ...{ ...base, workload: 'connect-latency', driver, round },
      metrics: { p50_us: 25 * round, p99_us: 123_456 },
    })),
    { ...base, workload: 'connect-latency', driver: 'slirp4netns', round, error: '<no> & route' },
  ]);
}

const RUN: Run = {
  schema: 1,
  startedAt: '2026-01-02T03:04:05.000Z',
  finishedAt: '2026-01-02T03:05:05.000Z',
  complete: true,
  suites: ['all'],
  drivers: Object.keys(UPLOADS),
  rounds: 3,
  environment: {
    place: 'lab',
    kernel:
      '6.1.0-very-long-name-of-a-kernel-that-somebody-built-and-named-1234567890-abcdefghijkl',
    architecture: 'x64',
    cpu: 'a CPU',
    cores: 2,
    memoryMiB: 4096,
    loadAverage: 0,
    versions: { podman: '5.4.2' },
    sysctls: { 'net.ipv4.tcp_rmem': '4096 131072 6291456' },
    commit: '0123456789ab',
    modified: false,
  },
  trials: trials(),
};

/** What is asked of the page, all at once. Runs in the browser, so it can use nothing from out here. */
const LOOK = `(() => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  const luminance = (color) => {
    const [r, g, b] = channels(color).map((c) => {
      const v = c / 255;
      return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const background = getComputedStyle(document.body).backgroundColor;
  const contrast = (color) => {
    const [a, b] = [luminance(color), luminance(background)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  };
  const overlap = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
  const charts = [...document.querySelectorAll('svg')].map((svg) => {
    const frame = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll('text')].filter((text) => text.textContent !== '');
    const boxes = texts.map((text) => text.getBoundingClientRect());
    const bars = [...svg.querySelectorAll('.mark-rect path')];
    return {
      label: svg.getAttribute('aria-label'),
      role: svg.getAttribute('role'),
      width: frame.width,
      height: frame.height,
      texts: texts.map((text) => text.textContent),
      outside: boxes.filter((box) => box.left < frame.left - 1 || box.right > frame.right + 1).length,
      overlapping: boxes.filter((box, i) => boxes.some((other, j) => j > i && overlap(box, other))).length,
      contrast: Math.min(...texts.map((text) => contrast(getComputedStyle(text).fill))),
      fontSize: Math.min(...boxes.map((box) => box.height)),
      bars: bars.map((bar) => bar.getBoundingClientRect().width),
      fills: bars.map((bar) => getComputedStyle(bar).fill),
      barContrast: Math.min(...bars.map((bar) => contrast(getComputedStyle(bar).fill))),
    };
  });
  const words = [...document.querySelectorAll('p, td, th, h1, h2, summary')];
  return {
    background,
    charts,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    wordContrast: Math.min(...words.map((word) => contrast(getComputedStyle(word).color))),
    text: document.body.innerText,
  };
})()`;

interface Look {
  readonly background: string;
  readonly overflow: number;
  readonly wordContrast: number;
  readonly text: string;
  readonly charts: readonly {
    readonly label: string;
    readonly role: string;
    readonly width: number;
    readonly height: number;
    readonly texts: readonly string[];
    readonly outside: number;
    readonly overlapping: number;
    readonly contrast: number;
    readonly fontSize: number;
    readonly bars: readonly number[];
    readonly fills: readonly string[];
    readonly barContrast: number;
  }[];
}

describe.skipIf(CHROMIUM === undefined && !inCi)('report (skipped without chromium)', () => {
  const directory = mkdtempSync(join(tmpdir(), 'sockswitch-report-'));
  const file = join(directory, 'index.html');
  let browser: Browser | undefined;
  const requests: string[] = [];
  const complaints: string[] = [];

  beforeAll(async () => {
    writeFileSync(file, await runHtml(RUN));
    if (CHROMIUM === undefined) throw new Error('chromium is missing: apt-get install chromium');
    browser = await puppeteer.launch({
      executablePath: CHROMIUM,
      args: ['--no-sandbox', '--disable-dev-shm-usage'], // containers have little of /dev/shm
      timeout: LAUNCH_PATIENCE_MS,
    });
  }, LAUNCH_PATIENCE_MS);

  afterAll(async () => {
    await browser?.close();
    rmSync(directory, { recursive: true });
  });

  async function open(scheme: 'light' | 'dark', width: number): Promise<Page> {
    const page = await browser?.newPage();
    if (page === undefined) throw new Error('no browser');
    page.on('request', (request) => requests.push(request.url()));
    page.on('console', (message) => complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(String(error)));
    await page.setViewport({ width, height: 900 });
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
    await page.goto(pathToFileURL(file).href);
    return page;
  }

  async function look(scheme: 'light' | 'dark', width: number): Promise<Look> {
    const page = await open(scheme, width);
    const { BENCH_SCREENSHOTS: shots } = process.env;
    if (shots !== undefined) {
      await page.screenshot({ path: `${join(shots, `${scheme}-${width}`)}.png`, fullPage: true });
    }
    const result = (await page.evaluate(LOOK)) as Look;
    await page.close();
    return result;
  }

  test.each([
    ['light', 1280],
    ['dark', 1280],
    ['light', 400],
    ['dark', 400],
  ] as const)('%s, %i wide: everything can be read', async (scheme, width) => {
    const page = await look(scheme, width);
    expect(page.overflow).toBeLessThanOrEqual(0);
    expect(page.wordContrast).toBeGreaterThanOrEqual(TEXT_CONTRAST);
    expect(page.charts.length).toBe(4);
    for (const chart of page.charts) {
      expect(chart.width).toBeGreaterThan(200);
      expect(chart.width).toBeLessThanOrEqual(width);
      expect(chart.outside).toBe(0);
      expect(chart.overlapping, chart.texts.join(' | ')).toBe(0);
      expect(chart.contrast).toBeGreaterThanOrEqual(TEXT_CONTRAST);
      expect(chart.barContrast).toBeGreaterThanOrEqual(GRAPHICS_CONTRAST);
      expect(chart.fontSize).toBeGreaterThanOrEqual(8);
    }
  });

  test('light and dark differ, and nothing is fetched or complained about', async () => {
    const light = await look('light', 1280);
    const dark = await look('dark', 1280);
    expect(light.background).not.toBe(dark.background);
    expect(light.charts[0]?.fills).not.toEqual(dark.charts[0]?.fills);
    expect(new Set(requests)).toEqual(new Set([pathToFileURL(file).href]));
    expect(complaints).toEqual([]);
  });

  test('bars are as long as the figures say, and ours stand out', async () => {
    const [uploads] = (await look('light', 1280)).charts;
    const widths = uploads?.bars ?? [];
    const figures = Object.values(UPLOADS);
    expect(widths).toHaveLength(figures.length);
    for (const [index, figure] of figures.entries()) {
      expect((widths[index] ?? 0) / (widths[0] ?? 1)).toBeCloseTo(figure / 40, 1);
    }
    expect(uploads?.texts).toContain('bypass4netns over slirp4netns'); // whole
    const [host, ours, ...others] = uploads?.fills ?? [];
    expect(ours).not.toBe(host);
    expect(new Set(others)).toEqual(new Set([host]));
  });

  test('every chart is told in words, and failures are named', async () => {
    const page = await look('light', 1280);
    for (const { role } of page.charts) expect(role).toBe('img');
    expect(page.charts[0]?.label).toContain('upload, Gbit/s, median and range.');
    expect(page.charts[0]?.label).toContain('sockswitch over pasta: 39.0 (35.1 to 42.9)');
    expect(page.charts[1]?.label).toContain('slirp4netns: failed');
    expect(page.text).toContain('slirp4netns, connect-latency, failed in 3 rounds: <no> & route');
    expect(page.text).toContain('tcp-up, host');
  });
});
