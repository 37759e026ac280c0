// Charges with stripe-node as its documentation shows it.
const stripe = require('stripe')(process.env.STRIPE_API_KEY);
const charge = (amount) => stripe.paymentIntents.create({ amount, currency: 'usd', payment_method: 'pm_card_visa', confirm: true });
charge(2000)
  .then((intent) => console.log(intent.status))
  .then(() => charge(9000))
  .catch((error) => console.log(JSON.stringify({ type: error.type, status: error.statusCode, code: error.code, message: error.message })));
