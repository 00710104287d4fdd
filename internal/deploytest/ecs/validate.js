// Validates the templates that the arguments name, and prints for each a line of JSON: its findings. It is given to node -e
// in a folder in which @aws/cloudformation-validate is installed.
const path = require("path");
const { createRequire } = require("module");
const { CelEngine, TemplateFile } = createRequire(path.join(process.cwd(), "/"))("@aws/cloudformation-validate");

// Of a parameter that is empty unless it is given, the validator looks at the empty text also where a condition rules it out.
const parameterOverrides = {
  AlarmTopicArn: "arn:aws:sns:eu-central-1:123456789012:alarms",
  AlertTopicArn: "arn:aws:sns:eu-central-1:123456789012:alerts",
  ClusterName: "cluster",
  KmsKeyArn: "arn:aws:kms:eu-central-1:123456789012:key/0a1b2c3d-0a1b-0a1b-0a1b-0a1b2c3d4e5f",
};
const engine = new CelEngine(); // takes seconds; a template, much less
for (const name of process.argv.slice(1)) {
  const report = engine.validateStandard(new TemplateFile(name), { severityLevel: "WARN", parameterOverrides });
  const findings = report.diagnostics.map((d) => ({ rule: d.ruleId, severity: d.severity, line: d.startLine ?? 0, entity: d.entity?.logicalId ?? "", message: d.message }));
  console.log(JSON.stringify({ status: report.status, findings }));
}
