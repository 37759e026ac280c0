// The same from an ES module.
import Stripe from 'stripe';

const stripe = new Stripe(process.env.STRIPE_API_KEY);
const charge = (amount) => stripe.paymentIntents.create({ amount, currency: 'usd', payment_method: 'pm_card_visa', confirm: true });
console.log((await charge(2000)).status);
await charge(9000).catch((error) => console.log(JSON.stringify({ type: error.type, status: error.statusCode, code: error.code, message: error.message })));
