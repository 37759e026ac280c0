// Texts through the gateway, with the recipe's client.
const client = require('./recipes/twilio_gateway.cjs').twilioClient();
const text = (body) => client.messages.create({ to: '+14155552671', from: '+14155552672', body });
text('Hello')
  .then((message) => console.log(message.status))
  .then(() => text('Hello '.repeat(200)))
  .catch((error) => console.log(JSON.stringify({ type: error.constructor.name, status: error.status, code: error.code, message: error.message })));
