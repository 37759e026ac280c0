#!/bin/sh
# Charges with curl, which reads https_proxy and CURL_CA_BUNDLE, and prints what the run may still spend.
set -eu
curl --silent --show-error https://api.stripe.com/v1/payment_intents \
    --header "Authorization: Bearer $STRIPE_API_KEY" \
    --data amount=2000 --data currency=usd --data payment_method=pm_card_visa --data confirm=true
echo
curl --silent --show-error http://runcap.local/budget --header "Authorization: Bearer $RUNCAP_VAULT_KEY"
echo
