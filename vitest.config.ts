import { defineConfig } from 'vitest/config';

/** A machine of a CI can be busy with something else for a minute; a defect fails twice. */
const retry = process.env['CI'] === 'true' ? 1 : 0;

/** One after the other: these tests share one machine's lab, daemon and network. */
const onRealThings = {
  fileParallelism: false,
  testTimeout: 180_000,
  hookTimeout: 600_000,
  teardownTimeout: 60_000,
  retry,
};

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 10_000, retry } },
      {
        test: {
          name: 'kernel',
          include: ['test/kernel/**/*.test.ts'],
          testTimeout: 60_000,
          retry,
        },
      },
      {
        test: {
          name: 'browser',
          include: ['test/browser/**/*.test.ts'],
          testTimeout: 60_000,
          retry,
        },
      },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          globalSetup: 'test/integration/support/global-setup.ts',
          ...onRealThings,
        },
      },
      {
        test: {
          name: 'programs',
          include: ['test/programs/**/*.test.ts'],
          globalSetup: 'test/integration/support/global-setup.ts',
          ...onRealThings,
        },
      },
      {
        test: {
          name: 'kubernetes',
          include: ['test/kubernetes/**/*.test.ts'],
          globalSetup: 'test/kubernetes/support/global-setup.ts',
          ...onRealThings,
        },
      },
      {
        test: {
          name: 'security',
          include: ['test/security/**/*.test.ts'],
          globalSetup: 'test/security/support/global-setup.ts',
          ...onRealThings,
        },
      },
    ],
  },
});
