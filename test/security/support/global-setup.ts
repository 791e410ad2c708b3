/** The lab as for the integration tests, the attack programs, and the results' beginning and end. */
import type { TestProject } from 'vitest/node';
import integrationSetup from '../../integration/support/global-setup.js';
import { buildAttacks } from './build.js';
import { finishResults, startResults } from './results.js';

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const end = await integrationSetup(project);
  await buildAttacks();
  startResults();
  return async () => {
    finishResults();
    await end();
  };
}
