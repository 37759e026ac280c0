// twilio-node through the gateway: it knows no base URL, but takes an HTTP client, and that one can name another.
// Only for where the proxy cannot be used; under `runcap exec` and `runcap env` the SDK needs nothing.
const twilio = require('twilio');

/** Twilio's own, with runcap's gateway in front of each path. */
class GatewayClient extends twilio.RequestClient {
  request(options) {
    const path = options.uri.replace('https://api.twilio.com', '');
    return super.request({ ...options, uri: `${process.env.RUNCAP_GATEWAY}/twilio${path}` });
  }
}

/** The client as ever, with the vault key where the auth token would be. */
function twilioClient() {
  const { TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN } = process.env;
  return twilio(TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, { httpClient: new GatewayClient() });
}

module.exports = { twilioClient };

if (require.main === module) {
  twilioClient()
    .messages.create({ to: '+14155552671', from: '+14155552672', body: 'Hello' })
    .then((message) => console.log(message.status));
}
