// axios, with nothing set up.
const axios = require('axios');
const charge = (amount) => axios.post('https://api.stripe.com/v1/payment_intents', `amount=${amount}&currency=usd&payment_method=pm_card_visa&confirm=true`, {
  headers: { authorization: `Bearer ${process.env.STRIPE_API_KEY}`, 'content-type': 'application/x-www-form-urlencoded' },
});
charge(2000)
  .then((answer) => console.log(answer.data.status))
  .then(() => charge(9000))
  .catch((error) => console.log(JSON.stringify({ type: error.name, status: error.response.status, code: error.response.data.code, message: error.response.data.message })));
