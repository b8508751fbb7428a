const { writeFileSync } = require('node:fs');
const { reporters, Runner } = require('mocha');

/** Mocha's spec reporter that also writes "passes failures" to the file SIGMAQUANT_TEST_COUNTS. */
module.exports = class CountingReporter extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    runner.once(Runner.constants.EVENT_RUN_END, () => {
      const { passes, failures } = this.stats;
      const file = process.env.SIGMAQUANT_TEST_COUNTS;
      if (file) writeFileSync(file, `${passes} ${failures}\n`);
    });
  }
};
